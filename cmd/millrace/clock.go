package main

import "time"

// now is the wall clock of commands; the engine is given its clock.
func now() time.Time { return time.Now() }
