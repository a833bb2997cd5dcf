package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"millrace/cmd/millrace/internal/app"
	"millrace/feature"
	"millrace/serving/predict"
)

// askModel bounds each question to a model server; the timeout of the definition
// is for inferences.
const askModel = 10 * time.Second

// models asks each model server whether it has the model, and holds what it says
// of it against the definition.
func (o *online) models(ctx context.Context) {
	transport := predict.NewTransport()
	defer transport.CloseIdleConnections()
	for _, m := range o.project.Catalog.Models {
		if m.Endpoint == "" {
			continue
		}
		asks := app.PredictModel(o.project.Models[m.Name])
		asks.Timeout = askModel
		c, err := predict.New(asks, predict.Settings{Transport: transport})
		if err != nil {
			o.fault(o.project.ModelFault(m.Name, "endpoint", err.Error(), "correct the model"))
			continue
		}
		o.model(ctx, m, c)
		c.Close()
	}
}

func (o *online) model(ctx context.Context, m *feature.Model, c *predict.Client) {
	if err := c.Ready(ctx); err != nil {
		_, silent := c.Server(ctx)
		message, hint := notReady(m, silent == nil, err)
		o.fault(o.project.ModelFault(m.Name, "endpoint", message, hint))
		return
	}
	offered, err := c.Signature(ctx)
	if err != nil {
		o.warnModel(m, "the server of model "+m.Name+" does not tell its signature: "+err.Error(), "whether the model fits shows when it is asked")
		return
	}
	if misfit, ok := errors.AsType[*predict.MisfitError](c.Fit(offered)); ok {
		o.fault(o.project.ModelFault(m.Name, "", "the server has another model "+m.Name+" than is defined",
			"change the definition or the model until both are the same; a view casts what has another type"))
		fmt.Fprintf(o.out, "  %s\n", strings.ReplaceAll(misfit.Error(), "\n", "\n  "))
		return
	}
	var untold []string
	if len(offered.Inputs) == 0 {
		untold = append(untold, "inputs")
	}
	if len(offered.Outputs) == 0 {
		untold = append(untold, "outputs")
	}
	if len(untold) > 0 {
		o.warnModel(m, fmt.Sprintf("the server of model %s does not tell its %s", m.Name, strings.Join(untold, " and ")),
			"whether they fit shows when it is asked; most servers tell what the model's settings declare")
		return
	}
	fmt.Fprintf(o.out, "model %s: %s has version %s, which fits\n", m.Name, m.Endpoint, m.Version)
}

func (o *online) warnModel(m *feature.Model, message, hint string) {
	o.warnings++
	fmt.Fprintf(o.out, "%v\n", o.project.ModelFault(m.Name, "endpoint", "warning: "+message, hint))
}

// notReady says what is wrong with a server that cannot be asked, and what to do.
// speaks is whether it has told of itself.
func notReady(m *feature.Model, speaks bool, err error) (message, hint string) {
	fault, ok := errors.AsType[*predict.Error](err)
	if !ok {
		return err.Error(), "correct the model"
	}
	why := fault.Reason.String()
	switch {
	case fault.Status != 0:
		why = fmt.Sprintf("status %d", fault.Status)
	case fault.Err != nil:
		why += ": " + fault.Err.Error()
	}
	switch {
	case speaks && fault.Status == http.StatusNotFound:
		return fmt.Sprintf("the server has no version %s of model %s", m.Version, m.Name), "load it there, or correct name or version"
	case speaks:
		return fmt.Sprintf("the server is not ready for version %s of model %s: %s", m.Version, m.Name, why), "wait until it has loaded the model, or look into its log"
	case fault.Reason == predict.ReasonUnreachable || fault.Reason == predict.ReasonTimeout || fault.Status >= 500:
		return fmt.Sprintf("the server of model %s does not answer: %s", m.Name, why), "start it, or correct the endpoint; " +
			"ingestion and features do without, predictions fail meanwhile"
	}
	return fmt.Sprintf("%s/v2 does not say that it is a model server: %s", m.Endpoint, why),
		"correct the endpoint: it is what stands before /v2 of a server of the Open Inference Protocol"
}
