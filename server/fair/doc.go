// Package fair queues items of many owners so that each owner has its turn, however many items the
// others have: a lane for each key, first in first out within a lane, one item of each lane in turn
// (protocol §9: waiting is fair between requesters).
//
// Lists and queues are intrusive: an item holds its own Link, so that it is put in and taken out of
// anywhere in O(1) without an allocation. Everything is for one goroutine at a time.
package fair
