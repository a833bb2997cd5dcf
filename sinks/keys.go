package sinks

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// KeyScanner finds the entity keys of which anything is stored.
type KeyScanner interface {
	// EachKey calls fn for pages of an entity's keys, from a cursor on ("" is the
	// beginning), until fn fails, whose error is then the call's, or there are no
	// more. Pages may be empty.
	//
	// Every key with a row or tile stored when the call begins is given at least
	// once, and may come twice; one that is written or expires meanwhile may or
	// may not be given. Keys come in the order of the store, as consistently as
	// rows are read. Nothing of the store is held while fn is at work. A cursor
	// that this store did not write is ErrKeyCursor.
	EachKey(ctx context.Context, entity string, from KeyCursor, fn func(*KeyPage) error) error
}

// KeyPage is keys of a scan. The page is fn's only for the call, its strings
// stay as they are.
type KeyPage struct {
	Keys     []string  `json:"keys"`
	Next     KeyCursor `json:"next"`     // goes on behind Keys
	Progress float64   `json:"progress"` // estimate from 0 to 1 of how far the scan is behind Keys; never falls within a call, 1 at the end
}

// KeyCursor is a place in a scan of keys: text that JSON keeps as it is. It
// holds for the store that wrote it, whatever is written there meanwhile, and
// says in front which layout it has. It may contain an entity key.
type KeyCursor string

// ErrKeyCursor is returned for a cursor of another store, layout or making.
var ErrKeyCursor = errors.New("the place to go on from is not one of this store: begin anew")

// NewKeyCursor returns a cursor of a layout, which has no colon in its name.
func NewKeyCursor(layout string, place []byte) KeyCursor {
	return KeyCursor(layout + ":" + base64.RawURLEncoding.EncodeToString(place))
}

// Place returns what the cursor was made of; begun is false for the beginning.
func (c KeyCursor) Place(layout string) (place []byte, begun bool, err error) {
	if c == "" {
		return nil, false, nil
	}
	text, ok := strings.CutPrefix(string(c), layout+":")
	if !ok {
		return nil, false, fmt.Errorf("read a cursor of layout %s: %w", layout, ErrKeyCursor)
	}
	if place, err = base64.RawURLEncoding.DecodeString(text); err != nil {
		return nil, false, fmt.Errorf("read a cursor of layout %s: %w", layout, ErrKeyCursor)
	}
	return place, true, nil
}
