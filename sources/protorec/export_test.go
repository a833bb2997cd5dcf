package protorec

// KnownSchemas returns how many message types d remembers.
func KnownSchemas(d *Decoder) int { return len(d.registry.plans) }
