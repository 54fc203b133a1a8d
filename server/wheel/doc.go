// Package wheel is a hierarchical timer wheel with a resolution of one millisecond: adding,
// cancelling and expiring a timer are O(1) and allocate nothing. One goroutine only; it has no
// clock of its own.
//
// A timer sits at the level of the highest bit in which its time differs from the present one. So
// every timer of a level is later than all those of the levels below it, every slot of a level lies
// ahead of the present one, and the first occupied slot of the lowest occupied level holds the
// earliest timers. Bitmaps of the occupied slots find it without visiting the empty ones, however
// long the gap.
package wheel
