package rest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"millrace/feature/definition"
	"millrace/serving"
	"millrace/serving/rest"
	"millrace/serving/servingtest"
)

// A read API over definitions and a store, asked for one driver.
func ExampleHandler() {
	project, err := definition.Load([]definition.File{{Name: "rides.yaml", Data: []byte(`
project: rides
entities: [{name: driver, join_keys: [{name: driver_id, type: int64}]}]
sources: [{name: trips, push: {}, fields: [{name: driver_id, type: int64}, {name: fare, type: float64}]}]
views: [{name: driver_trips, entity: driver, source: trips, features: [{name: fare}, {name: dear, expr: fare > 10, at: read}]}]
services: [{name: eta_v1, features: [driver_trips]}]
`)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := servingtest.NewStore()
	if err := store.Put("driver_trips@1", "1001", time.Now(), `{"fare": 12.5}`); err != nil {
		fmt.Println(err)
		return
	}
	svc, err := serving.New(serving.Settings{Catalog: project.Catalog, Plans: project.Plans, OnDemand: project.OnDemand, Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	rest.Handler(svc, rest.Settings{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/lookup/eta_v1?driver_id=1001", nil))
	fmt.Println(w.Body)
	// Output:
	// {"features":["driver_trips:fare","driver_trips:dear"],"rows":[{"entity":{"driver_id":1001},"values":{"driver_trips:fare":12.5,"driver_trips:dear":true}}]}
}
