package app

import (
	"fmt"

	"millrace/feature"
	"millrace/pipeline"
	"millrace/sources"
	"millrace/sources/jsonrec"
	"millrace/sources/unnest"
	"millrace/transforms"
)

// routeShapes makes the shapes of a source's batches, and says which of them
// each plan reads.
func routeShapes(src *feature.Source, plans []*transforms.Plan) (shapes []pipeline.Shape, of []int, err error) {
	of = make([]int, len(plans))
	for i, s := range transforms.Shapes(src, plans) {
		if _, err := shapeDecoder(src, s); err != nil {
			return nil, nil, fmt.Errorf("make the decoder of source %s: %w", src.Name, err)
		}
		shapes = append(shapes, pipeline.Shape{
			Fields: s.Fields, NewDecoder: func() sources.Decoder { d, _ := shapeDecoder(src, s); return d },
		})
		for _, p := range s.Plans {
			of[p] = i
		}
	}
	return shapes, of, nil
}

// shapeDecoder makes a decoder of src's records into one shape.
func shapeDecoder(src *feature.Source, s transforms.Shape) (sources.Decoder, error) {
	if s.Unnest == nil {
		return partDecoder(unnest.Part{Source: src, Fields: s.Fields})
	}
	return unnest.New(src, *s.Unnest, s.Fields, partDecoder)
}

// partDecoder makes a decoder of one format: of records, or of elements of them.
func partDecoder(p unnest.Part) (sources.Decoder, error) {
	return jsonrec.New(p.Source, p.Fields) //nolint:wrapcheck // names the source
}
