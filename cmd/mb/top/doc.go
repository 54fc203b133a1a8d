// Package top is the screen of mb top: what a node does, live. model.go takes keys, samples and
// notes and decides what is shown; view.go draws it, with the figures (figures.go), the graph
// (graph.go) and the lists (list.go); screen.go runs it on a terminal and gives that back.
package top
