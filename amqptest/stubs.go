package amqptest
