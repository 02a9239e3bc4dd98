package gitindex

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// fetch is one request for a pack, and what is found out for it. All requests stand alone: what a client said before, it says
// again (gitprotocol-http).
type fetch struct {
	repo  *Repo
	store *store
	ask   *request
	out   *packetWriter

	pack       *pack // nil: nothing is wanted, or more haves come
	common     []oid // haves that are known, in the order of the request
	last       *oid  // the last of them
	shallow    []oid // commits whose parents the client will not have
	unshallow  []oid // commits whose parents it will have now
	isGivingUp bool  // enough is known: no more haves are needed
	cut        int64 // see state; what lies before it is sent to nobody
}

func (f *fetch) close() {
	if f.pack != nil {
		_ = f.pack.Close() // it was only read
	}
}

// understand finds the commits that are spoken of and plans the pack.
func (f *fetch) understand(ctx context.Context) error {
	if len(f.ask.wants) == 0 {
		return nil
	}
	want, err := f.want(ctx)
	if err != nil {
		return err
	}
	st, err := readState(ctx, f.store.ro)
	if err != nil {
		return err
	}
	if f.cut = st.cut; want < f.cut {
		return badRequestf("the history of the index has begun anew: fetch again")
	}
	have := int64(-1)
	for i, o := range f.ask.haves {
		n, err := f.store.number(ctx, o)
		if err != nil {
			return err
		}
		// A commit after the wanted one is of no use: between them, the history may have begun anew.
		if n < 0 || n > want {
			continue
		}
		f.common = append(f.common, o)
		f.last = &f.ask.haves[i]
		have = max(have, n)
	}
	if f.isGivingUp = have >= 0; f.ask.depth > 0 {
		if err := f.deepen(ctx, want); err != nil {
			return err
		}
		if len(f.unshallow) > 0 {
			have = -1 // it lacks commits that lie before those it has
		}
	}
	if have < f.cut {
		have = -1 // between them lies what was taken out
	}
	if !f.ask.can("thin-pack") {
		have = -1 // it cannot take deltas against objects that are not in the pack
	}
	f.pack, err = f.repo.plan(ctx, f.store, want, have)
	return err
}

// want gives the commit that is wanted, the newest one if it should be several.
func (f *fetch) want(ctx context.Context) (int64, error) {
	want := int64(-1)
	for _, o := range f.ask.wants {
		n, err := f.store.number(ctx, o)
		if err == nil && n < 0 {
			// Another replica may have told of it.
			if err = f.repo.Sync(ctx); err == nil {
				if f.store, _, err = f.repo.current(); err == nil {
					n, err = f.store.number(ctx, o)
				}
			}
		}
		if err != nil {
			return 0, err
		}
		if n < 0 {
			return 0, badRequestf("the index has no commit %s: fetch again", o)
		}
		want = max(want, n)
	}
	return want, nil
}

// deepen finds out which commits will be without their parents at the client, and which will not be any more.
func (f *fetch) deepen(ctx context.Context, want int64) error {
	root := max(want-want%f.repo.rootEvery, f.cut)
	end := max(root, want-f.ask.depth+1)
	var had []int64
	for _, o := range f.ask.shallows {
		n, err := f.store.number(ctx, o)
		if err != nil {
			return err
		}
		if n >= root && n <= want {
			had = append(had, n)
		}
	}
	if f.ask.can("deepen-relative") && len(had) > 0 {
		end = max(root, slices.Max(had)-f.ask.depth) // the history it has ends at the newest one
	}
	for _, n := range had {
		if n > end {
			o, err := f.store.name(ctx, n)
			if err != nil {
				return err
			}
			f.unshallow = append(f.unshallow, o)
		}
	}
	if end > root {
		o, err := f.store.name(ctx, end)
		if err != nil {
			return err
		}
		f.shallow = append(f.shallow, o)
	}
	return nil
}

func (f *fetch) writeShallow() {
	for _, o := range f.shallow {
		f.out.linef("shallow %s", o)
	}
	for _, o := range f.unshallow {
		f.out.linef("unshallow %s", o)
	}
}

// answerV0 answers in versions 0 and 1. One commit in common is enough to give up looking for more: the history is a line.
func (f *fetch) answerV0(ctx context.Context) error {
	if f.pack == nil {
		return f.out.err
	}
	if f.ask.depth > 0 {
		f.writeShallow()
		f.out.flush()
	}
	if f.ask.isFirstHalf {
		return f.out.err
	}
	detailed, multi := f.ask.can("multi_ack_detailed"), f.ask.can("multi_ack")
	for i, o := range f.common {
		switch {
		case detailed:
			f.out.linef("ACK %s common", o)
		case multi:
			f.out.linef("ACK %s continue", o)
		case i == 0:
			f.out.linef("ACK %s", o)
		}
	}
	if !f.ask.done {
		if detailed && f.isGivingUp {
			f.out.linef("ACK %s ready", f.last)
		}
		if !f.isGivingUp || detailed || multi {
			f.out.linef("NAK")
		}
		if !detailed || !f.isGivingUp || !f.ask.can("no-done") {
			return f.out.err // the client asks again, with more haves or with "done"
		}
	}
	switch {
	case f.last == nil:
		f.out.linef("NAK")
	case detailed || multi:
		f.out.linef("ACK %s", f.last)
	}
	switch {
	case f.ask.can("side-band-64k"):
		return f.sendPack(ctx, maxPacket)
	case f.ask.can("side-band"):
		return f.sendPack(ctx, 1000)
	}
	if f.out.err != nil {
		return f.out.err
	}
	return f.pack.writeTo(ctx, f.out.w)
}

// answerV2 answers in version 2.
func (f *fetch) answerV2(ctx context.Context) error {
	if f.pack == nil {
		return f.out.err
	}
	if len(f.ask.haves) > 0 && !f.ask.done {
		f.out.linef("acknowledgments")
		for _, o := range f.common {
			f.out.linef("ACK %s", o)
		}
		if !f.isGivingUp {
			f.out.linef("NAK")
			f.out.flush()
			return f.out.err
		}
		f.out.linef("ready")
		f.out.delim()
	}
	if f.ask.depth > 0 {
		f.out.linef("shallow-info")
		f.writeShallow()
		f.out.delim()
	}
	f.out.linef("packfile")
	return f.sendPack(ctx, maxPacket)
}

// sendPack sends the pack over a side band of packets of at most size bytes.
func (f *fetch) sendPack(ctx context.Context, size int) error {
	if err := f.pack.writeTo(ctx, &band{p: f.out, size: size, channel: bandPack}); err != nil {
		_, _ = io.WriteString(&band{p: f.out, size: size, channel: bandError}, "the index changed too much during this fetch: fetch again\n")
		return fmt.Errorf("send a pack: %w", err)
	}
	f.out.flush()
	return f.out.err
}
