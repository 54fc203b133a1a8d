//go:build !linux

package main

import "fmt"

func main() { fmt.Println("overload measures Linux servers only") }
