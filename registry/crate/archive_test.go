package crate

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// block is a tar header under test: ustar, unless with says otherwise, and its content.
func block(name string, kind byte, content string, with ...func(h []byte)) string {
	h := make([]byte, tarBlock)
	copy(h, name)
	copy(h[100:], "0000644\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00", len(content)))
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	for _, w := range with {
		w(h)
	}
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return string(h) + content + strings.Repeat("\x00", -len(content)&(tarBlock-1))
}

func set1(at int, s string) func([]byte) { return func(h []byte) { copy(h[at:], s) } }

func gnu(h []byte) { copy(h[257:], "ustar  \x00") }

func pax(records ...string) string {
	var s strings.Builder
	for _, r := range records {
		n := len(r) + 2
		for n < len(r)+2+len(fmt.Sprint(n)) {
			n++
		}
		fmt.Fprintf(&s, "%d %s\n", n, r)
	}
	return block("pax", 'x', s.String())
}

func zip(s string) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write([]byte(s)) // to memory
	_ = zw.Close()
	return b.Bytes()
}

const sampleManifest = "[package]\nname = \"a\"\nversion = \"1.0.0\"\n"

// Each stream is one that some reader of tar takes in another way than others, or that only cargo's own form tells apart.
func TestCheckArchiveReadsTarStrictly(t *testing.T) {
	toml := block("a-1.0.0/Cargo.toml", '0', sampleManifest)
	end := strings.Repeat("\x00", 2*tarBlock)
	long := "a-1.0.0/" + strings.Repeat("x/", 100) + "y"
	for name, tc := range map[string]struct{ stream, want string }{
		"ustar":                            {toml + end, ""},
		"gnu":                              {block("a-1.0.0/Cargo.toml", '0', sampleManifest, gnu) + end, ""},
		"old type of a file":               {block("a-1.0.0/Cargo.toml", 0, sampleManifest) + end, ""},
		"one block of zeros":               {toml + end[:tarBlock], ""},
		"much padding":                     {toml + strings.Repeat(end, 9), ""},
		"folders":                          {block("a-1.0.0/", '5', "") + block("a-1.0.0/src", '5', "") + toml + end, ""},
		"GNU long path":                    {toml + block("././@LongLink", 'L', long+"\x00", gnu) + block(long[:100], '0', "x", gnu) + end, ""},
		"pax path":                         {toml + pax("path="+long, "mtime=1.5") + block("short", '0', "x") + end, ""},
		"pax size that is the same":        {toml + pax("size=1") + block("a-1.0.0/x", '0', "x") + end, ""},
		"prefix of ustar":                  {block("Cargo.toml", '0', sampleManifest, set1(345, "a-1.0.0")) + end, ""},
		"prefix in a GNU header":           {block("Cargo.toml", '0', sampleManifest, gnu, set1(345, "a-1.0.0")) + end, "where others read a path"},
		"mode in base 256":                 {toml + block("a-1.0.0/x", '0', "x", set1(100, "\x80")) + end, "not octal"},
		"odd time":                         {toml + block("a-1.0.0/x", '0', "x", set1(146, "\xff")) + end, "not octal"},
		"no end":                           {toml, "has no end"},
		"cut in a header":                  {toml + toml[:100], "damaged"},
		"cut in content":                   {toml[:tarBlock+10], "damaged"},
		"cut in the end":                   {toml + end[:700], "damaged"},
		"data behind the end":              {toml + end + toml, "behind its last entry"},
		"wrong checksum":                   {strings.Replace(toml, "0000644", "0000645", 1) + end, "wrong checksum"},
		"V7":                               {block("a-1.0.0/Cargo.toml", 0, sampleManifest, set1(257, strings.Repeat("\x00", 8))) + end, "cargo does not write"},
		"size in base 256":                 {toml + block("a-1.0.0/x", '0', "x", set1(124, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")) + end, "no octal number"},
		"negative size":                    {toml + block("a-1.0.0/x", '0', "x", set1(124, "-0000000001\x00")) + end, "no octal number"},
		"size behind a NUL":                {toml + block("a-1.0.0/x", '0', "x", set1(124, "1\x002\x00\x00\x00\x00\x00\x00\x00\x00\x00")) + end, "no octal number"},
		"empty size":                       {toml + block("a-1.0.0/x", '0', "", set1(124, strings.Repeat("\x00", 12))) + end, "no octal number"},
		"folder with content":              {toml + block("a-1.0.0/d", '5', toml) + end, "a folder with content"},
		"file with a slash at its end":     {toml + block("a-1.0.0/d/", '0', "x") + end, "ends with a slash"},
		"old file with a slash at its end": {toml + block("a-1.0.0/d/", 0, "") + end, "ends with a slash"},
		"file in place of the folder":      {block("a-1.0.0", '0', "x") + toml + end, "in place of its folder"},
		"contiguous file":                  {toml + block("a-1.0.0/x", '7', "x") + end, "neither file nor folder"},
		"sparse file":                      {toml + block("a-1.0.0/x", 'S', "x", gnu) + end, "neither file nor folder"},
		"fifo":                             {toml + block("a-1.0.0/x", '6', "") + end, "neither file nor folder"},
		"hard link":                        {toml + block("a-1.0.0/x", '1', "", set1(157, "a-1.0.0/Cargo.toml")) + end, "links and devices"},
		"block device":                     {toml + block("a-1.0.0/x", '4', "") + end, "neither file nor folder"},
		"GNU folder dump":                  {toml + block("a-1.0.0/x", 'D', "", gnu) + end, "neither file nor folder"},
		"multivolume":                      {toml + block("a-1.0.0/x", 'M', "", gnu) + end, "neither file nor folder"},
		"volume label":                     {block("a-1.0.0", 'V', "", gnu) + toml + end, "neither file nor folder"},
		"unknown type":                     {toml + block("a-1.0.0/x", 'Z', "") + end, "neither file nor folder"},
		"pax header for all":               {block("g", 'g', "18 path=a-1.0.0/x\n") + toml + end, "neither file nor folder"},
		"GNU long link":                    {block("././@LongLink", 'K', "x\x00", gnu) + toml + end, "neither file nor folder"},
		"pax size that is another":         {toml + pax("size=0") + block("a-1.0.0/x", '0', toml) + end, "another in a pax record"},
		"pax link":                         {toml + pax("linkpath=x") + block("a-1.0.0/x", '0', "x") + end, "no use for"},
		"pax sparse":                       {toml + pax("GNU.sparse.realsize=9") + block("a-1.0.0/x", '0', "x") + end, "no use for"},
		"pax path twice":                   {toml + pax("path=a-1.0.0/x", "path=a-1.0.0/y") + block("z", '0', "x") + end, "readers disagree"},
		"pax path empty":                   {toml + pax("path=") + block("a-1.0.0/z", '0', "x") + end, "readers disagree"},
		"pax line in a value":              {toml + pax("uname=x\n9 path=y") + block("a-1.0.0/x", '0', "x") + end, "readers disagree"},
		"pax length wrong":                 {toml + block("pax", 'x', "99 path=x\n") + block("a-1.0.0/x", '0', "x") + end, "cannot be read"},
		"pax length zero":                  {toml + block("pax", 'x', "0 path=x\n") + block("a-1.0.0/x", '0', "x") + end, "cannot be read"},
		"pax large":                        {toml + block("pax", 'x', strings.Repeat("x", 4096)) + end, "the limit is"},
		"long path and pax":                {toml + block("L", 'L', long, gnu) + pax("path="+long) + block("x", '0', "x") + end, "two headers for a long path"},
		"long path with NUL":               {toml + block("L", 'L', "a-1.0.0/x\x00y", gnu) + block("x", '0', "x") + end, "has a NUL"},
		"long path and no entry":           {toml + block("L", 'L', long, gnu) + end, "damaged"},
		"long path outside":                {toml + block("L", 'L', "b/"+long, gnu) + block("a-1.0.0/x", '0', "x") + end, "a path outside"},
		"path too long":                    {toml + block("L", 'L', "a-1.0.0/"+strings.Repeat("x", maxPath), gnu) + block("a-1.0.0/x", '0', "x") + end, "the limit is 1024"},
		"dot in a path":                    {toml + block("a-1.0.0/./x", '0', "x") + end, "a path outside"},
		"two slashes":                      {toml + block("a-1.0.0//x", '0', "x") + end, "a path outside"},
		"backslash":                        {toml + block(`a-1.0.0/..\x`, '0', "x") + end, "not plain UTF-8"},
		"no UTF-8":                         {toml + block("a-1.0.0/\xff", '0', "x") + end, "not plain UTF-8"},
		"file and folder":                  {toml + block("a-1.0.0/x", '0', "x") + block("a-1.0.0/x/y", '0', "x") + end, "both as a file and as a folder"},
		"folder, then file":                {toml + block("a-1.0.0/x/y", '0', "x") + block("a-1.0.0/x", '0', "x") + end, "both as a file and as a folder"},
		"manifest as folder":               {toml + block("a-1.0.0/Cargo.toml/x", '0', "x") + end, "both as a file and as a folder"},
		"folder after its file":            {toml + block("a-1.0.0/d/x", '0', "x") + block("a-1.0.0/d", '5', "") + end, ""},
		"in a folder .cargo-ok":            {toml + block("a-1.0.0/.cargo-ok/x", '0', "x") + end, ".cargo-ok"},
		"folder twice":                     {block("a-1.0.0/d", '5', "") + block("a-1.0.0/d/", '5', "") + toml + end, "a path twice"},
		"manifest as a folder":             {block("a-1.0.0/Cargo.toml", '5', "") + end, "must be a file"},
		"mark in another case":             {toml + block("a-1.0.0/.Cargo-OK", '0', "") + end, "by which cargo marks"},
		"lower-case manifest":              {block("a-1.0.0/cargo.toml", '0', sampleManifest) + end, "it must be Cargo.toml"},
		"names that differ in case":        {toml + block("a-1.0.0/A.rs", '0', "") + block("a-1.0.0/a.rs", '0', "") + end, ""},
	} {
		a, err := CheckArchive(bytes.NewReader(zip(tc.stream)), "a", "1.0.0", DefaultLimits)
		checkError(t, name, err, tc.want)
		if err == nil && a.Manifest.Name != "a" {
			t.Errorf("%s: %+v", name, a.Manifest)
		}
	}
}

func TestCheckArchiveLimits(t *testing.T) {
	toml := block("a-1.0.0/Cargo.toml", '0', sampleManifest)
	end := strings.Repeat("\x00", 2*tarBlock)
	many := toml
	for i := range 3 {
		many += block(fmt.Sprintf("a-1.0.0/%d", i), '0', "")
	}
	for name, tc := range map[string]struct {
		stream string
		limits Limits
		want   string
	}{
		"as many entries":    {many + end, Limits{Unpacked: 1 << 20, Entries: 4}, ""},
		"one entry too many": {many + end, Limits{Unpacked: 1 << 20, Entries: 3}, "more than 3 entries"},
		"as many bytes":      {toml + end, Limits{Unpacked: int64(len(toml + end)), Entries: 9}, ""},
		"one byte too many":  {toml + end, Limits{Unpacked: int64(len(toml+end)) - 1, Entries: 9}, "unpacks to more than"},
		"large manifest":     {block("a-1.0.0/Cargo.toml", '0', strings.Repeat("#", maxManifest+1)) + end, DefaultLimits, "at most 1048576 bytes"},
	} {
		_, err := CheckArchive(bytes.NewReader(zip(tc.stream)), "a", "1.0.0", tc.limits)
		checkError(t, name, err, tc.want)
	}
}

// What cargo would build is found in the manifest, or where the manifest is silent, as those of old cargos are, in the files.
func TestCheckArchiveTargets(t *testing.T) {
	for name, tc := range map[string]struct {
		manifest, files string
		lib             bool
		bins            string
	}{
		"nothing":           {"", "", false, "[]"},
		"found":             {"", "src/lib.rs src/main.rs src/bin/x.rs src/bin/y/main.rs src/bin/y/other.rs src/bin/z.txt", true, "[a x y]"},
		"named":             {"[lib]\nname = \"a\"\npath = \"l.rs\"\n[[bin]]\nname = \"tool\"\npath = \"t.rs\"\n", "l.rs t.rs src/main.rs", true, "[tool]"},
		"lib without path":  {"[lib]\nproc-macro = true\n", "src/lib.rs", true, "[]"},
		"lib in upper case": {"", "src/LIB.rs", false, "[]"},
	} {
		a, err := checkFiles(tc.manifest, tc.files)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fmt.Sprint(a.Bins); a.Lib != tc.lib || got != tc.bins {
			t.Errorf("%s: lib %v, bins %s", name, a.Lib, got)
		}
	}
}

// checkFiles checks an archive of empty files, named with spaces between, and a Cargo.toml with more lines than the sample's.
func checkFiles(manifest, files string) (*Archive, error) {
	stream := block("a-1.0.0/Cargo.toml", '0', sampleManifest+manifest)
	for _, f := range strings.Fields(files) {
		stream += block("a-1.0.0/"+f, '0', "")
	}
	return CheckArchive(bytes.NewReader(zip(stream+strings.Repeat("\x00", 2*tarBlock))), "a", "1.0.0", DefaultLimits)
}

// What looks wrong and breaks no rule is told of.
func TestCheckArchiveTellsWhatIsOdd(t *testing.T) {
	for name, tc := range map[string]struct{ manifest, files, want string }{
		"nothing":                   {"readme = \"README.md\"\nlicense-file = \"docs/../LICENSE\"\npublish = [\"acme\"]\n", "src/lib.rs README.md LICENSE", ""},
		"no readme":                 {"readme = false\npublish = true\n", "src/lib.rs", ""},
		"readme that is missing":    {"readme = \"README.md\"\n", "src/lib.rs readme.md", `readme: the Cargo.toml in the archive names "README.md", which is no file of the archive`},
		"readme that is a folder":   {"readme = \"src\"\n", "src/lib.rs", `readme: the Cargo.toml in the archive names "src", which is no file`},
		"licence that is missing":   {"license-file = \"../LICENSE\"\n", "src/lib.rs LICENSE", `license-file: the Cargo.toml in the archive names "../LICENSE", which is no file`},
		"to be published nowhere":   {"publish = false\n", "src/main.rs", "publish: the Cargo.toml in the archive says that the crate is to be published nowhere"},
		"in no registry":            {"publish = []\n", "src/bin/a.rs", "to be published nowhere"},
		"nothing to build":          {"", "src/other.rs", "the archive has neither a library nor a program"},
		"a library of another path": {"[lib]\npath = \"l.rs\"\n", "l.rs", ""},
		"a program of another path": {"[[bin]]\nname = \"tool\"\npath = \"t.rs\"\n", "t.rs", ""},
	} {
		a, err := checkFiles(tc.manifest, tc.files)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(a.Odd, "\n"); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// A reader that fails is not taken for a damaged archive.
func TestCheckArchivePassesReadErrors(t *testing.T) {
	broken := errors.New("the line broke")
	for n := range 3 {
		data := zip(block("a-1.0.0/Cargo.toml", '0', sampleManifest))
		_, err := CheckArchive(&failingReader{data[:n*20], broken}, "a", "1.0.0", DefaultLimits)
		if !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n*20, err)
		}
	}
}

type failingReader struct {
	data []byte
	err  error
}

func (f *failingReader) Read(p []byte) (int, error) {
	if len(f.data) == 0 {
		return 0, f.err
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}
