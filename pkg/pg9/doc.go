// Package pg9 knows what a PostgreSQL 9.x site of installer 3.x has beyond a server and a pool: the scripts in
// /var/lib/postgresql/bin, the robot that they install, the trigger file. It reads these through a remote.Host, works out who is
// who from what was seen, and edits the scripts, byte by byte. What is decided here is pure; the plans are package failover's.
package pg9
