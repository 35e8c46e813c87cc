#!/usr/bin/perl
# A program in another language, with another client: it takes one message from a queue, says what the W3C headers in
# it are worth, and passes it on to a second queue under a span of its own.
#
#   foreign_consumer.pl HOST PORT VHOST USER PASSWORD FROM TO
#
# Prints "traceparent TYPE VALUE" and "baggage TYPE VALUE" as it finds them, and "sent VALUE" for what it sent. Perl's
# own modules are all it needs: AMQP 0-9-1 is written out below, as far as this goes.
use strict;
use warnings;
use IO::Socket::INET;

my ($host, $port, $vhost, $user, $password, $from, $to) = @ARGV;
my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 10) or die "connect: $@";
binmode $s;

sub short { my $v = shift; pack('C/a*', $v) }
sub long { my $v = shift; pack('N/a*', $v) }
sub frame { my ($type, $channel, $payload) = @_; print {$s} pack('CnN', $type, $channel, length $payload), $payload, "\xCE"; $s->flush }
sub method { my ($channel, $class, $method, $args) = @_; frame(1, $channel, pack('nn', $class, $method) . $args) }

sub bytes {
  my $n = shift;
  my $got = '';
  while (length $got < $n) { read($s, $got, $n - length $got, length $got) or die "connection closed" }
  return $got;
}

# The payload of the next frame that is no heartbeat.
sub next_frame {
  while (1) {
    my ($type, $channel, $size) = unpack('CnN', bytes(7));
    my $payload = bytes($size);
    bytes(1) eq "\xCE" or die "bad frame end";
    return $payload if $type != 8;
  }
}

sub expect {
  my ($class, $method) = @_;
  my $payload = next_frame();
  my ($c, $m) = unpack('nn', $payload);
  $c == $class && $m == $method or die "got method $c.$m, want $class.$method: " . substr($payload, 4);
  return substr($payload, 4);
}

# The string entries of a table, as [type, value]; what other types hold is passed over.
my %width = (t => 1, b => 1, B => 1, s => 2, u => 2, I => 4, i => 4, l => 8, d => 8, f => 4, T => 8, D => 5, V => 0);
sub table {
  my $t = shift;
  my %found;
  while (length $t) {
    my ($name, $type) = unpack('C/a*a', $t);
    $t = substr($t, 2 + length $name);
    if (exists $width{$type}) { $t = substr($t, $width{$type}); next }
    my $value = unpack('N/a*', $t); # S, x, A and F have their length in front
    $t = substr($t, 4 + length $value);
    $found{$name} = [$type, $value];
  }
  return %found;
}

print {$s} "AMQP\x00\x00\x09\x01";
expect(10, 10);
method(0, 10, 11, long('') . short('PLAIN') . long("\0$user\0$password") . short('en_US'));
expect(10, 30);
method(0, 10, 31, pack('nNn', 2047, 131072, 0));
method(0, 10, 40, short($vhost) . short('') . "\0");
expect(10, 41);
method(1, 20, 10, short(''));
expect(20, 11);

method(1, 60, 70, pack('n', 0) . short($from) . "\1"); # basic.get, no ack
expect(60, 71);
my $header = next_frame();
my ($size, $flags) = unpack('x4Q>n', $header);
for (my $got = 0; $got < $size;) { $got += length next_frame() }
my $rest = substr($header, 14);
for my $bit (0x8000, 0x4000) { # content-type, content-encoding
  if ($flags & $bit) { my $v = unpack('C/a*', $rest); $rest = substr($rest, 1 + length $v) }
}
$flags & 0x2000 or die "no headers";
my $raw = unpack('N/a*', $rest);
my %h = table($raw);
for my $name ('traceparent', 'baggage') {
  print "$name $h{$name}[0] $h{$name}[1]\n" if $h{$name};
}
my $parent = $h{traceparent}[1] // '';
$parent =~ /^00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]$/ && $1 ne '0' x 32 && $2 ne '0' x 16 or die "no valid traceparent: $parent";

my $own = "00-$1-00f067aa0ba902b7-01";
my $headers = short('traceparent') . 'S' . long($own);
method(1, 60, 40, pack('n', 0) . short('') . short($to) . "\0");
frame(2, 1, pack('nnQ>n', 60, 0, 4, 0x2000) . long($headers));
frame(3, 1, 'body');
method(1, 20, 40, pack('n', 200) . short('') . pack('nn', 0, 0)); # channel.close: its answer says that the broker has it
expect(20, 41);
print "sent $own\n";
