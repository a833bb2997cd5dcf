package expr

// ownFunctions are those that DuckDB does not have; docs/expressions.md says
// what to write there.
var ownFunctions = map[string]function{
	"bucketize":    built("bucketize(x, [edges])", (*checker).bucketize),
	"hash_bucket":  built("hash_bucket(x, n)", (*checker).hashBucket),
	"haversine_km": overloaded("haversine_km(lat1, lon1, lat2, lon2)", on(f64, kernelHaversine, f64, f64, f64, f64)),
	"geohash":      built("geohash(lat, lon, n)", (*checker).geohash),
}
