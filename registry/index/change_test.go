package index

import "testing"

func TestApply(t *testing.T) {
	const one, two = `{"name":"a","vers":"1.0.0","features":{"vers":["1.0.1"]},"yanked":false}` + "\n", `{"name":"a","vers":"1.0.1","yanked":false}` + "\n"
	const twoYanked = `{"name":"a","vers":"1.0.1","yanked":true}` + "\n"
	for name, tc := range map[string]struct {
		file   string
		change Change
		want   string
	}{
		"first publish": {"", Change{Kind: KindPublish, Lines: []byte(one)}, one},
		"publish":       {one, Change{Kind: KindPublish, Lines: []byte(two)}, one + two},
		"yank":          {one + two, Change{Kind: KindYank, Num: "1.0.1"}, one + twoYanked},
		"yank twice":    {one + twoYanked, Change{Kind: KindYank, Num: "1.0.1"}, one + twoYanked},
		"unyank":        {one + twoYanked, Change{Kind: KindUnyank, Num: "1.0.1"}, one + two},
		"remove first":  {one + two, Change{Kind: KindRemove, Num: "1.0.0"}, two},
		"remove last":   {two, Change{Kind: KindRemove, Num: "1.0.1"}, ""},
		"remove crate":  {one + two, Change{Kind: KindRemoveCrate}, ""},
		"restore":       {"", Change{Kind: KindRestore, Lines: []byte(one + twoYanked)}, one + twoYanked},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.file
			got, err := tc.change.Apply([]byte(tc.file))
			if err != nil || string(got) != tc.want || tc.file != before {
				t.Errorf("%v\n got %s\nwant %s", err, got, tc.want)
			}
		})
	}
	for name, c := range map[string]Change{
		"version that is not there": {Kind: KindYank, Num: "1.0"}, "prefix of a version": {Kind: KindRemove, Num: "1.0.0-rc"}, "unknown kind": {Kind: "x"},
	} {
		if got, err := c.Apply([]byte(one)); err == nil {
			t.Errorf("%s: got %s", name, got)
		}
	}
}
