// Command probe is what instances run in tests.
package main

func main() {}
