// Package census is what there is to see of a node: its connections, loops, topics and settings as
// others are shown them (connection.go, loop.go, topic.go, setting.go), and the first of many in
// some order, found in one walk with little memory (top.go). The broker takes the census, the
// operators' listener shows it.
package census
