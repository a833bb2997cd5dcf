package pipeline

import (
	"encoding/hex"
	"encoding/json"

	"millrace/sources"
)

// metadata is what every commit carries beside the offset (DESIGN section 8):
// a lane's catalog version never goes back, an offset of another topic is not
// used, a recovery is taken once.
type metadata struct {
	Catalog  int64  `json:"catalog"`
	Topic    string `json:"topic"` // id in hex
	Recovery int64  `json:"recovery,omitempty"`
}

func (m metadata) encode() string {
	text, err := json.Marshal(m)
	if err != nil { // three plain fields always encode
		return ""
	}
	return string(text)
}

// parseMetadata reads what a commit carried; false when it was not ours.
func parseMetadata(text string) (metadata, bool) {
	var m metadata
	if text == "" || json.Unmarshal([]byte(text), &m) != nil || m.Topic == "" {
		return metadata{}, false
	}
	return m, true
}

func topicHex(id sources.TopicID) string { return hex.EncodeToString(id[:]) }
