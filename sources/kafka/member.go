package kafka

// Member reports whether the group has taken this process in, with partitions
// or without: where there are more members than partitions, some wait for one.
func (s *Source) Member() bool {
	client := s.client()
	if client == nil {
		return false
	}
	_, generation := client.GroupMetadata()
	return generation > 0
}
