# Joins standard input and output to the first program that connects to a Unix socket. The socket lies in a directory that
# the server's operating system user alone may enter. Arguments: that user, the socket. Prints "listening", then "accepted",
# a line each; all after that are the program's bytes.
use strict;
use Socket;
my ($user, $path) = @ARGV;
if ($> == 0) {
    my ($uid, $gid) = (getpwnam($user))[2, 3];
    defined $uid or die "no user $user on this host\n";
    $( = $gid;
    $) = "$gid $gid";
    $< = $> = $uid;
    $> == $uid or die "cannot become $user: $!\n";
}
socket(my $listener, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
bind($listener, sockaddr_un($path)) or die "$path: $!\n";
listen($listener, 1) or die "$path: $!\n";
syswrite(STDOUT, "listening\n");

# ready waits until one of the two can be read, and tells whether it is standard input
sub ready {
    my ($other) = @_;
    my $open = '';
    vec($open, 0, 1) = 1;
    vec($open, fileno($other), 1) = 1;
    select($open, undef, undef, undef);
    return (vec($open, 0, 1), vec($open, fileno($other), 1));
}
my ($gone) = ready($listener);
exit 0 if $gone; # whoever asked says nothing before somebody has connected
accept(my $client, $listener) or die "accept: $!\n";
close $listener;
syswrite(STDOUT, "accepted\n");

# copy moves what is there from one side to the other; false at the end of the stream
sub copy {
    my ($from, $to) = @_;
    my $n = sysread($from, my $data, 65536);
    return 0 unless $n;
    for (my $done = 0; $done < $n;) {
        my $m = syswrite($to, $data, $n - $done, $done);
        return 0 unless defined $m;
        $done += $m;
    }
    return 1;
}
while (1) {
    my ($in, $out) = ready($client);
    copy($client, \*STDOUT) || exit 0 if $out;
    copy(\*STDIN, $client) || exit 0 if $in;
}
