//go:build !race

package broker

const raceEnabled = false

const seedsHere = 500
