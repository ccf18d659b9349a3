# Runs a program as another operating system user, for as long as standard input stays open: when whoever asked has gone,
# the program and the shell around it are ended. What it prints comes out on standard output, in lines also where it returns
# to the beginning of one. Arguments: that user, the program, its arguments.
use strict;
use POSIX ':sys_wait_h';
my ($user, @program) = @ARGV;
my ($uid, $gid, $home) = (getpwnam($user))[2, 3, 7];
defined $uid or die "no user $user on this host\n";
chomp(my $groups = do { open(my $id, '-|', 'id', '-G', $user) or die "id: $!\n"; local $/; <$id> });
pipe(my $from, my $to) or die "pipe: $!\n";
my $pid = fork;
defined $pid or die "fork: $!\n";
if (!$pid) {
    open(STDIN, '<', '/dev/null');
    open(STDOUT, '>&', $to);
    open(STDERR, '>&', $to);
    if ($> == 0) {
        $( = $gid;
        $) = "$gid $groups";
        $< = $> = $uid;
        $> == $uid && $< == $uid or die "cannot become $user: $!\n";
    }
    delete @ENV{grep { /^PG/ && $_ ne 'PGSERVICEFILE' } keys %ENV};
    @ENV{qw(HOME LC_ALL)} = ($home, 'C');
    chdir '/';
    exec {$program[0]} @program or die "$program[0]: $!\n";
}
close $to;

# stop ends the whole process group: whoever asked has gone
sub stop {
    $SIG{TERM} = 'IGNORE';
    kill 'TERM', 0;
    for (1 .. 100) {
        exit 1 if waitpid($pid, WNOHANG) == $pid;
        select undef, undef, undef, 0.1;
    }
    kill 'KILL', 0;
}
$SIG{PIPE} = 'IGNORE';
my $open = '';
vec($open, 0, 1) = 1;
vec($open, fileno($from), 1) = 1;
my $status;
while (1) {
    my $ready = $open;
    if (select($ready, undef, undef, 1) <= 0) {
        # a program that was killed may leave one behind that holds the other end
        next unless waitpid($pid, WNOHANG) == $pid;
        $status = $?;
        last;
    }
    stop() if vec($ready, 0, 1) && !sysread(STDIN, my $ignored, 4096);
    next unless vec($ready, fileno($from), 1);
    sysread($from, my $data, 65536) or last;
    $data =~ tr/\r/\n/;
    defined syswrite(STDOUT, $data) or stop();
}
if (!defined $status) {
    waitpid($pid, 0);
    $status = $?;
}
exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
