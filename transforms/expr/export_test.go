package expr

import "maps"

// Usages returns how each function is called, by its name, and the name that
// each second name stands for.
func Usages() (usages, second map[string]string) {
	usages = make(map[string]string)
	for name, f := range functions {
		usages[name] = f.usage
	}
	return usages, maps.Clone(aliases)
}
