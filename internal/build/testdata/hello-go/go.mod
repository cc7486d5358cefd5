module example.com/hello

go 1.18

require golang.org/x/text v0.14.0
