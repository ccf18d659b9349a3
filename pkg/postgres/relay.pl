# Joins standard input and output to a PostgreSQL server, under the server's operating system user.
# Arguments: that user, "unix" or "tcp", socket directory or address, port. Exit code 77: that user is not there, or may not get to the socket.
use strict;
use Socket;
sub no_entry { print STDERR @_; exit 77 }
my ($user, $family, $where, $port) = @ARGV;
if ($> == 0) {
    my ($uid, $gid) = (getpwnam($user))[2, 3];
    defined $uid or no_entry("no user $user on this host\n");
    $( = $gid;
    $) = "$gid $gid";
    $< = $> = $uid;
    $> == $uid or no_entry("cannot become $user: $!\n");
}
my $address = $family eq 'unix' ? "$where/.s.PGSQL.$port" : "$where:$port";
my $target = $family eq 'unix' ? sockaddr_un($address) : sockaddr_in($port, inet_aton($where));
socket(my $server, $family eq 'unix' ? PF_UNIX : PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
connect($server, $target) or $!{EACCES} ? no_entry("$user: $address: $!\n") : die "$address: $!\n";

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
my $open = '';
vec($open, 0, 1) = 1;
vec($open, fileno($server), 1) = 1;
while (select(my $ready = $open, undef, undef, undef)) {
    copy($server, \*STDOUT) || exit 0 if vec($ready, fileno($server), 1);
    # whoever asked has gone: a server that is frozen would never close its side, and this process would stay for ever
    copy(\*STDIN, $server) || exit 0 if vec($ready, 0, 1);
}
