package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"google.golang.org/protobuf/proto"

	"github.com/hareline/hareline/consumer"
)

const protobuf = "application/x-protobuf"

// message is what protoc makes: *pb.Order for M = pb.Order.
type message[M any] interface {
	*M
	proto.Message
}

// Proto is the codec of a Protocol Buffers message: Proto[pb.Order]() reads and
// writes *pb.Order.
func Proto[M any, P message[M]]() consumer.Codec[P] { return codec[M, P]{} }

type codec[M any, P message[M]] struct{}

// Encode implements consumer.Codec.
func (codec[M, P]) Encode(v P) (amqp.Publishing, error) {
	body, err := proto.Marshal(v)
	if err != nil {
		return amqp.Publishing{}, fmt.Errorf("encode %T: %w", v, err)
	}
	return amqp.Publishing{ContentType: protobuf, Type: string(v.ProtoReflect().Descriptor().FullName()), Body: body}, nil
}

// Decode implements consumer.Codec. Without the check of the type, the bytes of
// another message may decode into nonsense.
func (codec[M, P]) Decode(d amqp.Delivery) (P, error) {
	v := P(new(M))
	if want := string(v.ProtoReflect().Descriptor().FullName()); d.ContentType != protobuf || d.Type != want {
		return nil, fmt.Errorf("content-type %q and type %q are not those of %s", d.ContentType, d.Type, want)
	}
	return v, proto.Unmarshal(d.Body, v)
}
