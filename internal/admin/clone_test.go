package admin_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

// A copy of a client shares nothing that can be changed: what the directory
// hands out is read by every request.
func TestCloneClientSharesNothing(t *testing.T) {
	var c idp.Client
	fill(t, reflect.ValueOf(&c).Elem(), "Client")
	out := admin.CloneClient(&c)
	require.Equal(t, c, out)
	apart(t, reflect.ValueOf(c), reflect.ValueOf(out), "Client")
}

// fill gives every list, map and pointer in a value something to hold.
func fill(t *testing.T, v reflect.Value, where string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(t, v.Field(i), where+"."+v.Type().Field(i).Name)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), where)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), where+"[0]")
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), where)
		}
	case reflect.Map, reflect.Interface, reflect.Chan, reflect.Func:
		t.Fatalf("%s is a %s: say here how it is copied", where, v.Kind())
	}
}

// apart fails where two values lead to the same memory.
func apart(t *testing.T, a, b reflect.Value, where string) {
	t.Helper()
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if field := a.Type().Field(i); field.IsExported() {
				apart(t, a.Field(i), b.Field(i), where+"."+field.Name)
			}
		}
	case reflect.Pointer:
		require.NotEqual(t, a.Pointer(), b.Pointer(), where)
		apart(t, a.Elem(), b.Elem(), where)
	case reflect.Slice:
		require.NotEqual(t, a.Pointer(), b.Pointer(), where)
		for i := range a.Len() {
			apart(t, a.Index(i), b.Index(i), where+"[0]")
		}
	}
}
