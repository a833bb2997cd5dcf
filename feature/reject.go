package feature

// Stage says where a row was refused.
type Stage string

// The stages, in the order a row passes them.
const (
	StageDecode    Stage = "decode"
	StageTransform Stage = "transform"
	StageEncode    Stage = "encode"
)

// Reason is the closed set of codes that say why a row was refused.
type Reason string

// The reasons. docs/deadletters.md explains each to the person who meets it.
const (
	ReasonMalformed    Reason = "malformed"          // the record is not of the source's format
	ReasonWrongType    Reason = "wrong_type"         // a field's value does not fit its declared type
	ReasonNullKey      Reason = "null_key"           // a join key is null or missing
	ReasonNoKey        Reason = "no_key"             // a delete that does not say which entity: no join key from the record's key
	ReasonTombstone    Reason = "tombstone"          // a record without a value, where the source takes none
	ReasonExpression   Reason = "expression"         // an expression failed on this row
	ReasonEventFuture  Reason = "event_time_future"  // event time too far ahead of the record time
	ReasonRecordFuture Reason = "record_time_future" // record time too far ahead of the clock
	ReasonTimeRange    Reason = "time_range"         // a time that the store cannot order by
	ReasonKeyTooLarge  Reason = "key_too_large"      // the entity key's text exceeds 4 KiB
	ReasonRowTooLarge  Reason = "row_too_large"      // the encoded row exceeds 1 MiB
	ReasonTooLarge     Reason = "record_too_large"   // the record exceeds the source's limits (size, depth)
	ReasonLength       Reason = "wrong_length"       // a list of fixed length has another length
	ReasonMissing      Reason = "missing_column"     // a finished row lacks a stored column
	ReasonForeign      Reason = "foreign_column"     // a prediction has a column that is neither join key nor time nor output
	ReasonNaN          Reason = "nan"                // NaN or an infinity where a prediction must not have one
	ReasonBadFlag      Reason = "bad_flag"           // the header transform_on_write is neither true nor false
	ReasonUnknownView  Reason = "unknown_view"       // a finished row does not say which view of the source it is for
	ReasonLate         Reason = "late"               // too old for windows; what the view stores of the row by itself is stored
	ReasonWindowValue  Reason = "window_value"       // a value that a window keeps exceeds 4 KiB
	ReasonWindowsOnly  Reason = "windows_only"       // a finished row for a view that has windowed features alone
	ReasonSchema       Reason = "unknown_schema"     // the schema that the record names is not known, or not usable
)

// Reject is one row that was refused. Message names fields and features and
// never carries a key or a value, because it is logged and counted.
type Reject struct {
	Origin  Origin
	Stage   Stage
	Reason  Reason
	Message string
}
