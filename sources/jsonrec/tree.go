package jsonrec

// tree holds the member names that fields want, by path, so that one pass over
// a record finds them all. It is immutable.
type tree struct {
	nodes []node // the record's object first, every node before what is in it
}

// node is one member, or the record itself.
type node struct {
	name     string
	parent   int
	last     int     // behind the last node that is in this one
	children []int32 // nodes by hash of the name, 0 where free
}

// branch is a node while the tree is built.
type branch struct {
	name     string
	children []*branch
	node     int
}

// newTree returns the tree of paths, and the node of each.
func newTree(paths [][]string) (*tree, []int) {
	root := &branch{}
	ends := make([]*branch, len(paths))
	for i, path := range paths {
		b := root
		for _, name := range path {
			b = b.child(name)
		}
		ends[i] = b
	}
	t := new(tree)
	t.add(root, -1)
	nodes := make([]int, len(paths))
	for i, b := range ends {
		nodes[i] = b.node
	}
	return t, nodes
}

func (b *branch) child(name string) *branch {
	for _, c := range b.children {
		if c.name == name {
			return c
		}
	}
	c := &branch{name: name}
	b.children = append(b.children, c)
	return c
}

// add appends b and what is in it.
func (t *tree) add(b *branch, parent int) {
	b.node = len(t.nodes)
	t.nodes = append(t.nodes, node{name: b.name, parent: parent})
	for _, c := range b.children {
		t.add(c, b.node)
	}
	t.nodes[b.node].last = len(t.nodes)
	if len(b.children) > 0 {
		t.nodes[b.node].children = t.table(b.children)
	}
}

// table places children by hash; a quarter full at most, so that names which
// nobody wants mostly meet a free place.
func (t *tree) table(children []*branch) []int32 {
	size := 4
	for size < 4*len(children) {
		size *= 2
	}
	table := make([]int32, size)
	for _, c := range children {
		at := hash(c.name) & (size - 1)
		for table[at] != 0 {
			at = (at + 1) & (size - 1)
		}
		table[at] = int32(c.node)
	}
	return table
}

// find returns the child of node n of that name, or outside.
func (t *tree) find(n int, name []byte) int {
	table := t.nodes[n].children
	if len(table) == 0 {
		return outside
	}
	mask := len(table) - 1
	for at := hash(name) & mask; table[at] != 0; at = (at + 1) & mask {
		if child := int(table[at]); t.nodes[child].name == string(name) {
			return child
		}
	}
	return outside
}

// hash mixes the length and three bytes: cheap, and enough to tell the members
// of one object apart.
func hash[T string | []byte](name T) int {
	n := len(name)
	if n == 0 {
		return 0
	}
	h := uint32(n)*0x9e37 + uint32(name[0])*0x85eb + uint32(name[n>>1])*0xc2b3 + uint32(name[n-1])*0x27d5
	return int(h ^ h>>15)
}
