package expr

import "millrace/feature"

// textFunctions are the functions of text.
var textFunctions = map[string]function{
	"lower":       text1("lower(text)", textTo("lower", lower)),
	"upper":       text1("upper(text)", textTo("upper", upper)),
	"trim":        trims("trim", trimBlank, trimSet),
	"ltrim":       trims("ltrim", trimLeftBlank, trimLeftSet),
	"rtrim":       trims("rtrim", trimRightBlank, trimRightSet),
	"length":      built("length(text)", (*checker).lengthOf),
	"substring":   overloaded("substring(text, from[, length])", on(str, kernelSubstring, str, i64), on(str, kernelSubstring, str, i64, i64)),
	"replace":     overloaded("replace(text, from, to)", on(str, kernelReplace, str, str, str)),
	"starts_with": textTest("starts_with", hasPrefix),
	"ends_with":   textTest("ends_with", hasSuffix),
	"contains":    built("contains(text, part)", (*checker).containsIn),
	"strpos":      overloaded("strpos(text, part)", on(i64, kernelPosition, str, str)),
	"split_part":  overloaded("split_part(text, separator, n)", on(str, kernelSplitPart, str, str, i64)),
	"md5":         text1("md5(text)", textTo("md5", md5Hex)),
	"concat":      built("concat(x, …)", (*checker).concat),
	"concat_ws":   built("concat_ws(separator, x, …)", (*checker).concatWS),

	"octet_length": overloaded("octet_length(bytes)", on(i64, kernelByteLength, feature.KindBytes)),
	"encode":       overloaded("encode(text)", on(feature.KindBytes, kernelEncode, str)),
	"decode":       overloaded("decode(bytes)", on(str, kernelDecode, feature.KindBytes)),

	"regexp_matches": built("regexp_matches(text, 'pattern')", (*checker).regexpMatches),
	"regexp_extract": built("regexp_extract(text, 'pattern'[, group])", (*checker).regexpExtract),
}

// Of functions that are of lists too, the part that is of text.
var (
	textLength   = overloaded("length(text)", on(i64, kernelLength, str))
	textContains = textTest("contains", containsText)
)
