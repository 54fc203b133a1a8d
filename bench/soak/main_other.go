//go:build !linux

package main

import "fmt"

func main() { fmt.Println("soak judges Linux servers only") }
