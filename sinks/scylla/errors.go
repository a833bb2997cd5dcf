package scylla

import (
	"context"
	"errors"
	"fmt"

	"github.com/gocql/gocql"

	"millrace/sinks"
)

// outcome is what the answer to one request means for the next.
type outcome int

const (
	outcomeDone      outcome = iota
	outcomeOverload          // too much at once: repeat, and ask for less
	outcomePassing           // a node is away or starting: repeat
	outcomePermanent         // the request itself is refused: repeating cannot help
)

// refusal is what every error that the database itself answers with is. The
// driver's own name for it, RequestError, asks for methods that none of them
// has.
type refusal interface {
	error
	GetCode() int
}

// outcomeOf reads an error of the driver. What is not known to be permanent is
// taken to pass: a pipeline that repeats in vain is seen, one that gives up on
// a passing fault loses its place.
func outcomeOf(err error) outcome {
	if err == nil {
		return outcomeDone
	}
	if refused, ok := errors.AsType[refusal](err); ok {
		return outcomeOfCode(refused.GetCode())
	}
	switch {
	case errors.Is(err, gocql.ErrTimeoutNoResponse), errors.Is(err, gocql.ErrNoStreams):
		return outcomeOverload
	case errors.Is(err, gocql.ErrFrameTooBig), errors.Is(err, gocql.ErrQueryArgLength):
		return outcomePermanent
	}
	if _, ok := errors.AsType[gocql.MarshalError](err); ok {
		return outcomePermanent
	}
	return outcomePassing
}

func outcomeOfCode(code int) outcome {
	switch code {
	case gocql.ErrCodeOverloaded, gocql.ErrCodeWriteTimeout, gocql.ErrCodeReadTimeout, gocql.ErrCodeCASWriteUnknown:
		return outcomeOverload
	case gocql.ErrCodeInvalid, gocql.ErrCodeSyntax, gocql.ErrCodeUnauthorized, gocql.ErrCodeCredentials,
		gocql.ErrCodeConfig, gocql.ErrCodeProtocol, gocql.ErrCodeAlreadyExists, gocql.ErrCodeFunctionFailure:
		return outcomePermanent
	}
	return outcomePassing
}

// failure makes an error of the driver one of this store: the caller's own end
// of time, a refusal as it is, or anything else as ErrUnavailable.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if outcomeOf(err) == outcomePermanent {
		return err
	}
	return fmt.Errorf("%w: %w", sinks.ErrUnavailable, err)
}
