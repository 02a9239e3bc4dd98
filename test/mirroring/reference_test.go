package mirroring

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// Every field of a CrateMirror stands in its reference.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/cratemirror.md")
	if err != nil {
		t.Fatal(err)
	}
	var look func(path string, of reflect.Type)
	look = func(path string, of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || !strings.HasSuffix(of.PkgPath(), "api/v1alpha1") {
			return
		}
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			full := path + name
			if !strings.Contains(string(text), "`"+full+"`") {
				t.Errorf("docs/reference/cratemirror.md has no `%s`", full)
			}
			look(full+".", of.Field(i).Type)
		}
	}
	look("", reflect.TypeFor[v1alpha1.CrateMirrorSpec]())
	look("status.", reflect.TypeFor[v1alpha1.CrateMirrorStatus]())
}
