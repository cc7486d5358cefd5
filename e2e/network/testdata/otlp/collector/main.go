// Collector takes traces by OTLP over gRPC and writes a line for each span:
// its trace's id, its name and its service's.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	trace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

type collector struct {
	trace.UnimplementedTraceServiceServer
}

func (collector) Export(_ context.Context, in *trace.ExportTraceServiceRequest) (*trace.ExportTraceServiceResponse, error) {
	for _, resource := range in.ResourceSpans {
		attributes := map[string]string{}
		for _, a := range resource.Resource.Attributes {
			attributes[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				fmt.Printf("%x %s %s %s\n", s.TraceId, s.Name, attributes["service.name"], attributes["cloud.resource_id"])
			}
		}
	}
	return &trace.ExportTraceServiceResponse{}, nil
}

func main() {
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	s := grpc.NewServer()
	trace.RegisterTraceServiceServer(s, collector{})
	log.Fatal(s.Serve(l))
}
