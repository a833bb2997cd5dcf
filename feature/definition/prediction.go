package definition

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/feature"
	"millrace/transforms"
)

// What a model has where nothing else is written, and how far it may go.
const (
	defaultTimeout  = time.Second
	maxTimeout      = time.Minute
	defaultMaxBatch = 256
	maxMaxBatch     = 4096
	minMaxAge       = time.Second
	minDebounce     = 10 * time.Millisecond
	maxDebounce     = time.Hour
)

func (b *builder) model(f loadedFile, d *modelDef, path string) {
	b.name(f, path, d.Name, "model", "")
	m := &feature.Model{
		Meta: d.meta(), Name: d.Name, Version: d.Version, Entity: d.Entity, TensorName: d.TensorName,
		Cache: d.Cache != "none", MaxAge: d.MaxAge, ServeStaleFor: d.ServeStaleFor, Debounce: d.Debounce,
		Timeout: d.Timeout, MaxBatch: d.MaxBatch, ServePreviousVersion: d.ServePrevious, Revision: 1,
	}
	if d.Tensors == "stacked" {
		m.Tensors = feature.TensorsStacked
	}
	if d.Fingerprint == "values" {
		m.Fingerprint = feature.FingerprintValues
	}
	m.OnError = map[orNull]feature.ModelErrorPolicy{"last_value": feature.ModelErrorLastValue, "error": feature.ModelErrorFail}[d.OnError]
	b.modelServer(f, d, m, path)
	b.modelRefresh(f, d, m, path)
	b.modelAges(f, d, path)
	e := b.viewEntity(f, &viewDef{Entity: d.Entity}, path)
	b.outputs(f, d, m, e, path)
	b.inputs(f, d, m, e, path)
	b.project.Catalog.Models = append(b.project.Catalog.Models, m)
	b.remember(f, place{"model", d.Name}, path)
	if len(b.errors) > 0 {
		return // some view may have no plan
	}
	plan, err := transforms.CompileModel(m, e, b.project.Plans, b.project.OnDemand)
	if err != nil {
		f.at(path, -1, err.Error(), "compare the model with the views that it names")
		return
	}
	b.project.Models[m.Name] = plan
}

// modelServer checks what is said about the server that computes predictions.
func (b *builder) modelServer(f loadedFile, d *modelDef, m *feature.Model, path string) {
	if f.nodes[path+".endpoint"] == nil {
		b.withoutServer(f, d, path)
		return
	}
	if m.Timeout == 0 {
		m.Timeout = defaultTimeout
	}
	if f.nodes[path+".max_batch"] == nil {
		m.MaxBatch = defaultMaxBatch
	}
	m.Endpoint = strings.TrimRight(d.Endpoint, "/")
	b.endpoint(f, d.Endpoint, path+".endpoint")
	written := func(key string) bool { return f.nodes[path+"."+key] != nil }
	if d.Version == "" {
		f.at(path+".version", -1, fmt.Sprintf("model %s has no version, by which its predictions are told from those of the next one", d.Name), `add version: "1"`)
	} else if !pathElement(d.Version) {
		f.at(path+".version", 0, fmt.Sprintf("version %q cannot be part of a URL's path", d.Version), "use letters, digits, dots, dashes and underscores")
	}
	switch {
	case d.Tensors == "stacked" && d.TensorName == "":
		f.at(path+".tensor_name", -1, fmt.Sprintf("model %s stacks its inputs in a tensor without a name", d.Name), "add tensor_name: the name that the model's metadata gives its input")
	case d.Tensors != "stacked" && written("tensor_name") && !f.doubtful(path+".tensors"):
		f.at(path+".tensor_name", -1, "tensor_name is for stacked tensors; named ones have the names of their features", "write tensors: stacked, or remove it")
	}
	b.span(f, path+".timeout", d.Timeout, time.Millisecond, maxTimeout)
	if written("max_batch") && (d.MaxBatch < 1 || d.MaxBatch > maxMaxBatch) {
		f.at(path+".max_batch", 0, fmt.Sprintf("max_batch %d is not between 1 and %d", d.MaxBatch, maxMaxBatch), "write how many keys one call of the model may have")
	}
}

// serverKeys are the keys that are about computing predictions.
var serverKeys = []string{
	"inputs", "refresh", "tensors", "tensor_name", "timeout", "max_batch", "serve_stale_for", "debounce", "on_error",
	"serve_previous_version", "fingerprint", "cache",
}

// withoutServer: clients or jobs write the predictions, which are served until
// they are too old.
func (b *builder) withoutServer(f loadedFile, d *modelDef, path string) {
	var written []string
	for _, key := range serverKeys {
		if f.nodes[path+"."+key] != nil {
			written = append(written, key)
		}
	}
	if len(written) > 0 && !f.bad[path+".endpoint"] {
		f.at(path, -1, fmt.Sprintf("model %s has no endpoint, and %s %s about computing its predictions", d.Name, strings.Join(written, ", "), isOrAre(written)),
			"add endpoint: http://HOST:PORT; a model whose predictions clients write has only entity, outputs, version and max_age")
	}
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return "is"
	}
	return "are"
}

func (b *builder) endpoint(f loadedFile, text, at string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !portOf(u):
		f.at(at, 0, fmt.Sprintf("endpoint %q is not the URL of a model server", text), "write http://HOST:PORT or https://HOST")
	case u.User != nil:
		f.at(at, 0, "endpoint holds a name or password, which everybody who reads the definitions would see", "leave it out; credentials belong into the configuration")
	case u.RawQuery != "" || u.Fragment != "":
		f.at(at, 0, "endpoint has a query or fragment, and the protocol's paths are put behind it", "write scheme, host, port and, if there is one, the path before /v2")
	case strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/v2"):
		f.at(at, 0, "endpoint ends with /v2, which the protocol's paths, put behind it, begin with", "write what stands before /v2")
	}
}

// portOf reports whether u names no port, or one that there is.
func portOf(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && n > 0
}

// pathElement reports whether text stands for itself in the path of a URL.
func pathElement(text string) bool {
	return strings.Trim(text, ".") != "" && url.PathEscape(text) == text && len(text) <= maxName
}

// modelRefresh checks when predictions are computed, and what only matters then.
func (b *builder) modelRefresh(f loadedFile, d *modelDef, m *feature.Model, path string) {
	if f.nodes[path+".endpoint"] == nil {
		return // said, if anything is wrong with that
	}
	m.RefreshOnRead, m.RefreshOnWrite = slices.Contains(d.Refresh, "on_read"), slices.Contains(d.Refresh, "on_write")
	if f.nodes[path+".refresh"] == nil {
		m.RefreshOnRead = true
	}
	for i, when := range d.Refresh {
		if slices.Contains(d.Refresh[:i], when) {
			f.at(fmt.Sprintf("%s.refresh[%d]", path, i), 0, when+" is written twice", "remove one of the two")
		}
	}
	sure := !f.doubtful(path + ".refresh")
	if !m.Cache {
		b.withoutCache(f, d, path)
		if !m.RefreshOnRead && sure {
			f.at(path+".refresh", -1, fmt.Sprintf("predictions of model %s are not stored, so each is computed when it is read", d.Name), "write refresh: [on_read], or leave it out")
		}
		return
	}
	if f.nodes[path+".debounce"] != nil && !m.RefreshOnWrite && sure {
		f.at(path+".debounce", -1, fmt.Sprintf("debounce spaces refreshes on write, and model %s has none", d.Name), "add on_write to refresh, or remove debounce")
	}
}

// withoutCache refuses what is about stored predictions.
func (b *builder) withoutCache(f loadedFile, d *modelDef, path string) {
	for _, key := range []string{"max_age", "serve_stale_for", "debounce", "serve_previous_version", "fingerprint"} {
		if f.nodes[path+"."+key] != nil {
			f.refuse(path+"."+key, -1, fmt.Sprintf("%s is about stored predictions, and those of model %s are not", key, d.Name), "remove it, or cache: none")
		}
	}
	if i := slices.Index(d.Refresh, "on_write"); i >= 0 {
		f.at(fmt.Sprintf("%s.refresh[%d]", path, i), 0, fmt.Sprintf("on_write stores predictions ahead, and those of model %s are not stored", d.Name), "remove it, or cache: none")
	}
	if d.OnError == "last_value" {
		f.at(path+".on_error", 0, fmt.Sprintf("last_value is a stored prediction, and those of model %s are not stored", d.Name), "write null or error, or remove cache: none")
	}
}

// modelAges checks how old a prediction may be.
func (b *builder) modelAges(f loadedFile, d *modelDef, path string) {
	b.span(f, path+".max_age", d.MaxAge, minMaxAge, maxDuration)
	b.span(f, path+".debounce", d.Debounce, minDebounce, maxDebounce)
	if d.ServeStaleFor != 0 && f.nodes[path+".max_age"] == nil && !f.bad[path+".max_age"] && !f.bad[path+".serve_stale_for"] && d.Cache != "none" {
		f.at(path+".serve_stale_for", -1, "serve_stale_for begins when max_age has passed, and there is none", "add max_age: 1h, or remove it")
	}
}

// span refuses a duration that was written and is out of range.
func (b *builder) span(f loadedFile, at string, d, least, most time.Duration) {
	if d != 0 && (d < least || d > most) && !f.bad[at] {
		f.at(at, 0, fmt.Sprintf("%s %s is not between %s and %s", last(at), d, spanText(least), spanText(most)), "write a duration within these")
	}
}

func spanText(d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	return transforms.Duration(d)
}
