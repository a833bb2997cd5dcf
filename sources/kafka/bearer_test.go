package kafka

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTokenFileIsReadForEveryConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	s := &SASL{Mechanism: MechanismOAuthBearer, TokenFile: path}
	if _, err := s.bearer(t.Context()); err == nil {
		t.Error("a missing file gave a token")
	}
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := s.bearer(t.Context()); err != nil || a.Token != token {
			t.Errorf("token %q, %v", a.Token, err)
		}
	}
	fixed := &SASL{Token: "three"}
	if a, err := fixed.bearer(t.Context()); err != nil || a.Token != "three" {
		t.Errorf("token %q, %v", a.Token, err)
	}
}

func TestEpochOfAnOffsetIsThatOfTheRecordBeforeIt(t *testing.T) {
	var p position
	for offset, epoch := range []int32{4, 4, 4, 7, 7, 9} {
		p.wrote(int64(offset), epoch)
	}
	for _, c := range []struct {
		offset int64
		want   int32
	}{{0, -1}, {1, 4}, {3, 4}, {4, 7}, {5, 7}, {6, 9}, {100, 9}} {
		if got := p.epochAt(c.offset); got != c.want {
			t.Errorf("epoch at %d is %d, want %d", c.offset, got, c.want)
		}
	}
	if len(p.epochs) != 1 {
		t.Errorf("%d epochs are kept", len(p.epochs))
	}
	if p.jump(2); p.epochAt(2) != -1 || p.next != 2 {
		t.Error("a jump keeps epochs")
	}
}
