//go:build !linux

package main

import "fmt"

func main() { fmt.Println("roll judges Linux servers only") }
