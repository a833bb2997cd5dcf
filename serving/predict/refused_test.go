package predict_test

import (
	"net/http"
	"testing"
	"time"

	"millrace/internal/synctest"
	"millrace/serving/predict"
	"millrace/serving/predict/predicttest"
)

// TestARowThatIsRefusedAlone is at fault itself while the model answers others:
// trying it again is for when its inputs have changed. Before any other was
// answered, or long after, the model may be what is at fault.
func TestARowThatIsRefusedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := predicttest.New(predicttest.Sum("sum", "7", "score"))
		c := serve(t, server, sum(), predict.Settings{Remember: -1, Reuse: -1})
		refused := func(status, first, n int) bool {
			server.Behave(predicttest.Behaviour{Status: status})
			r := infer(t, c, rowsOf(first, n))
			if reason(r, 0) != predict.ReasonHTTP {
				t.Fatalf("%v", r.Faults[0])
			}
			return r.Faults[0].Lasting()
		}
		if refused(http.StatusBadRequest, 1, 1) {
			t.Error("the model has answered nobody, and the row is at fault")
		}
		server.Behave(predicttest.Behaviour{})
		wantReasons(t, infer(t, c, rowsOf(10, 1)), predict.ReasonNone)
		if !refused(http.StatusBadRequest, 2, 1) || !refused(http.StatusUnprocessableEntity, 3, 1) {
			t.Error("the row is not at fault, although others are answered")
		}
		if refused(http.StatusBadRequest, 20, 2) {
			t.Error("rows that were sent together are at fault")
		}
		if refused(http.StatusInternalServerError, 4, 1) || refused(http.StatusNotFound, 5, 1) {
			t.Error("a row is at fault for what is not about it")
		}
		time.Sleep(2 * time.Minute)
		if refused(http.StatusBadRequest, 6, 1) {
			t.Error("a row is at fault long after the model has answered")
		}
	})
}

// A row that the model fails on does not shut out others, however seldom they are
// asked for: it is known, and says nothing of the model.
func TestOneBadRowDoesNotOpenTheBreaker(t *testing.T) {
	for name, b := range map[string]behaviour{"it breaks": {Status: 500}, "it hangs": {Delay: time.Minute}, "its answer is nonsense": {Text: "x"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := scoring(t)
				c := serve(t, server, sum(), predict.Settings{})
				bad := func() {
					server.Behave(b)
					infer(t, c, rowsOf(0, 1))
					server.Behave(behaviour{})
				}
				bad()
				for i := range 20 {
					for range 12 {
						time.Sleep(time.Second)
						bad()
					}
					wantScores(t, infer(t, c, rowsOf(i+1, 1)), float64(i+1))
				}
				server.Behave(b)
				for i := range 6 { // others, of which it knows nothing
					infer(t, c, rowsOf(100+i, 1))
				}
				wantReasons(t, infer(t, c, rowsOf(200, 1)), predict.ReasonBreakerOpen)
			})
		})
	}
}
