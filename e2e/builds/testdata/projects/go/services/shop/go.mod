module example.com/shop

go 1.18

require (
	example.com/greet v0.0.0
	golang.org/x/text v0.14.0
)

replace example.com/greet => ../../libs/greet
