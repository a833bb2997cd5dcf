package definition

import (
	"time"

	"github.com/goccy/go-yaml/ast"
)

// The structs below are the YAML as it is written. Tags: yaml is the key;
// need is "yes" for keys that must be there; later names what a key belongs to
// that this version does not have, and makes it an error by name, with instead
// as the next step; enum lists the allowed values. Every value remembers its node, for positions.

type fileDef struct {
	Project       string        `yaml:"project"`
	Entities      []entityDef   `yaml:"entities"`
	Sources       []sourceDef   `yaml:"sources"`
	Views         []viewDef     `yaml:"views"`
	OnDemandViews []onDemandDef `yaml:"on_demand_views"`
	Services      []serviceDef  `yaml:"services"`
	Models        []modelDef    `yaml:"models"`
	Permissions   ast.Node      `yaml:"permissions" later:"permissions"`
}

type metaDef struct {
	Description string            `yaml:"description"`
	Owner       string            `yaml:"owner"`
	Tags        map[string]string `yaml:"tags"`
}

type entityDef struct {
	metaDef
	Name     string       `yaml:"name" need:"yes"`
	JoinKeys []joinKeyDef `yaml:"join_keys" need:"yes"`
}

type joinKeyDef struct {
	Name        string `yaml:"name" need:"yes"`
	Type        string `yaml:"type" need:"yes"`
	Description string `yaml:"description"`
}

type sourceDef struct {
	metaDef
	Name             string      `yaml:"name" need:"yes"`
	Kafka            *kafkaDef   `yaml:"kafka"`
	Push             *pushDef    `yaml:"push"`
	Request          *requestDef `yaml:"request"`
	Format           string      `yaml:"format"`
	Fields           []fieldDef  `yaml:"fields"`
	EventTime        string      `yaml:"event_time"`
	TransformOnWrite *bool       `yaml:"transform_on_write"`
	Schema           *schemaDef  `yaml:"schema"`
	Envelope         string      `yaml:"envelope" enum:"cloudevents,debezium"`
	OnTombstone      string      `yaml:"on_tombstone" enum:"delete,ignore,dead_letter"`
	EventID          string      `yaml:"event_id"`
}

type schemaDef struct {
	Subject     string `yaml:"subject"`
	File        string `yaml:"file"`
	Descriptors string `yaml:"descriptors"`
	Message     string `yaml:"message"`
}

type kafkaDef struct {
	Topic string `yaml:"topic" need:"yes"`
	Start string `yaml:"start"`
}

// pushDef is a mapping, of a source that is pushed to alone, or true or false,
// of a Kafka source.
type pushDef struct {
	Topic string `yaml:"topic"`
	Flag  *bool  // of true or false; nil with a mapping
}

type requestDef struct{}

type fieldDef struct {
	Name        string  `yaml:"name" need:"yes"`
	Type        string  `yaml:"type"`
	Path        string  `yaml:"path"`
	Unit        string  `yaml:"unit" enum:"s,ms,us,ns"`
	Length      int     `yaml:"length"`
	Optional    bool    `yaml:"optional"`
	Description string  `yaml:"description"`
	Key         bool    `yaml:"key"`
	Header      string  `yaml:"header"`
	Quoted      bool    `yaml:"quoted"`
	Of          []ofDef `yaml:"of"`
}

// ofDef is a field of the elements of a list of records.
type ofDef struct {
	Name        string   `yaml:"name" need:"yes"`
	Type        string   `yaml:"type" need:"yes"`
	Path        string   `yaml:"path"`
	Unit        string   `yaml:"unit" enum:"s,ms,us,ns"`
	Quoted      bool     `yaml:"quoted"`
	Description string   `yaml:"description"`
	Of          ast.Node `yaml:"of" later:"lists of records within each other"`
}

type viewDef struct {
	metaDef
	Name            string            `yaml:"name" need:"yes"`
	Entity          string            `yaml:"entity" need:"yes"`
	Source          string            `yaml:"source" need:"yes"`
	Keys            map[string]string `yaml:"keys"`
	OnNullKey       string            `yaml:"on_null_key" enum:"dead_letter,filter"`
	Where           string            `yaml:"where"`
	TTL             time.Duration     `yaml:"ttl"`
	TTLMode         string            `yaml:"ttl_mode" enum:"enforce,report,ignore"`
	Expire          time.Duration     `yaml:"expire"`
	Features        []featureDef      `yaml:"features" need:"yes"`
	Unnest          *unnestDef        `yaml:"unnest"`
	AllowedLateness time.Duration     `yaml:"allowed_lateness"`
	Late            string            `yaml:"late" enum:"drop,dead_letter"`
	Rekey           bool              `yaml:"rekey"`
}

type unnestDef struct {
	Field string `yaml:"field" need:"yes"`
	As    string `yaml:"as" need:"yes"`
}

type featureDef struct {
	metaDef
	Name    string   `yaml:"name" need:"yes"`
	Expr    string   `yaml:"expr"`
	Type    string   `yaml:"type"`
	Length  int      `yaml:"length"`
	At      string   `yaml:"at" enum:"write,read"`
	Default ast.Node `yaml:"default"`

	Agg      string        `yaml:"agg" enum:"count,count_distinct,sum,avg,min,max,var_pop,stddev_pop,first,last,last_n,top_k,quantile"`
	Of       string        `yaml:"of"`
	Filter   string        `yaml:"filter"`
	Window   string        `yaml:"window"` // a duration, or unlimited
	Windows  []string      `yaml:"windows"`
	Hop      time.Duration `yaml:"hop"`
	Offset   time.Duration `yaml:"offset"`
	N        int           `yaml:"n"`
	K        int           `yaml:"k"`
	Q        float64       `yaml:"q"`
	Distinct bool          `yaml:"distinct"`
}

type onDemandDef struct {
	metaDef
	Name     string               `yaml:"name" need:"yes"`
	Entity   string               `yaml:"entity"`
	Sources  []string             `yaml:"sources" need:"yes"`
	Features []onDemandFeatureDef `yaml:"features" need:"yes"`
}

type onDemandFeatureDef struct {
	metaDef
	Name    string   `yaml:"name" need:"yes"`
	Expr    string   `yaml:"expr"`
	Type    string   `yaml:"type"`
	Length  int      `yaml:"length"`
	At      string   `yaml:"at" enum:"read"`
	Default ast.Node `yaml:"default"`
}

type modelDef struct {
	metaDef
	Name          string        `yaml:"name" need:"yes"`
	Version       string        `yaml:"version"`
	Endpoint      string        `yaml:"endpoint"`
	Tensors       string        `yaml:"tensors" enum:"named,stacked"`
	TensorName    string        `yaml:"tensor_name"`
	Entity        string        `yaml:"entity" need:"yes"`
	Inputs        []string      `yaml:"inputs"`
	Outputs       []outputDef   `yaml:"outputs" need:"yes"`
	Cache         string        `yaml:"cache" enum:"store,none"`
	MaxAge        time.Duration `yaml:"max_age"`
	Refresh       []string      `yaml:"refresh" enum:"on_read,on_write"`
	ServeStaleFor time.Duration `yaml:"serve_stale_for"`
	Debounce      time.Duration `yaml:"debounce"`
	Timeout       time.Duration `yaml:"timeout"`
	MaxBatch      int           `yaml:"max_batch"`
	OnError       orNull        `yaml:"on_error" enum:"last_value,null,error"`
	ServePrevious bool          `yaml:"serve_previous_version"`
	Fingerprint   string        `yaml:"fingerprint" enum:"state,values"`
}

type outputDef struct {
	Name        string `yaml:"name" need:"yes"`
	Type        string `yaml:"type" need:"yes"`
	Length      int    `yaml:"length"`
	As          string `yaml:"as"`
	AllowNaN    bool   `yaml:"allow_nan"`
	Description string `yaml:"description"`
}

// orNull is a text of which null, which YAML takes for nothing, is one.
type orNull string

type serviceDef struct {
	metaDef
	Name     string   `yaml:"name" need:"yes"`
	Features []refDef `yaml:"features" need:"yes"`
	Log      ast.Node `yaml:"log" later:"logs of what was served"`
}

// refDef is an entry of a service: "view", "view:feature", or the long form.
type refDef struct {
	Short    string            `yaml:"-"`
	View     string            `yaml:"view" need:"yes"`
	As       string            `yaml:"as"`
	Keys     map[string]string `yaml:"keys"`
	Features []string          `yaml:"features"`
}
