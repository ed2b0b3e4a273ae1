/* The works of the benchmark, done with libei, the C library that comes with Erlang.
 *
 *     libei OWN PEER COOKIE WORK COUNT
 *
 * prints the seconds that the work took and the seconds of CPU time that this process used for it. */

#include <ei.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MIB = 1 << 20 };

static ei_cnode node;
static int fd;
static ei_x_buff in;
static ei_x_buff out;

static void fail(const char *what)
{
    fprintf(stderr, "libei: %s failed, erl_errno %d\n", what, erl_errno);
    exit(1);
}

static void check(int result, const char *what)
{
    if (result < 0)
        fail(what);
}

static double seconds(struct timeval time)
{
    return time.tv_sec + time.tv_usec / 1e6;
}

static double cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void start_message(void)
{
    out.index = 0;
    check(ei_x_encode_version(&out), "encoding");
}

static void send_to(const char *name)
{
    check(ei_reg_send(&node, fd, (char *)name, out.buff, out.index), "sending");
}

/* {What, Self, Count} */
static void request(const char *what, long count)
{
    start_message();
    ei_x_encode_tuple_header(&out, 3);
    ei_x_encode_atom(&out, what);
    ei_x_encode_pid(&out, ei_self(&node));
    ei_x_encode_long(&out, count);
    send_to("bench");
}

/* The next message, in `in`; the index of its first byte after the version. */
static int receive(void)
{
    erlang_msg message;
    int index = 0, version, result;
    do {
        in.index = 0;
        result = ei_xreceive_msg(fd, &message, &in);
    } while (result == ERL_TICK);
    if (result != ERL_MSG)
        fail("receiving");
    check(ei_decode_version(in.buff, &index, &version), "decoding");
    return index;
}

static void receive_atom(void)
{
    char atom[MAXATOMLEN_UTF8];
    int index = receive();
    check(ei_decode_atom(in.buff, &index, atom), "decoding");
}

/* {m, {user, 42, <<"hello">>, [a, b, 1.5]}} */
static void encode_small(void)
{
    start_message();
    ei_x_encode_tuple_header(&out, 2);
    ei_x_encode_atom(&out, "m");
    ei_x_encode_tuple_header(&out, 4);
    ei_x_encode_atom(&out, "user");
    ei_x_encode_long(&out, 42);
    ei_x_encode_binary(&out, "hello", 5);
    ei_x_encode_list_header(&out, 3);
    ei_x_encode_atom(&out, "a");
    ei_x_encode_atom(&out, "b");
    ei_x_encode_double(&out, 1.5);
    ei_x_encode_empty_list(&out);
}

static void decode_small(int index)
{
    char atom[MAXATOMLEN_UTF8], binary[16];
    long number, length;
    double real;
    int arity, failed = 0;
    failed |= ei_decode_tuple_header(in.buff, &index, &arity);
    failed |= ei_decode_atom(in.buff, &index, atom);
    failed |= ei_decode_tuple_header(in.buff, &index, &arity);
    failed |= ei_decode_atom(in.buff, &index, atom);
    failed |= ei_decode_long(in.buff, &index, &number);
    failed |= ei_decode_binary(in.buff, &index, binary, &length);
    failed |= ei_decode_list_header(in.buff, &index, &arity);
    failed |= ei_decode_atom(in.buff, &index, atom);
    failed |= ei_decode_atom(in.buff, &index, atom);
    failed |= ei_decode_double(in.buff, &index, &real);
    failed |= ei_decode_list_header(in.buff, &index, &arity);
    if (failed || number != 42 || length != 5 || real != 1.5)
        fail("decoding");
}

static void rpc_send(void)
{
    ei_x_buff arguments;
    ei_x_new(&arguments);
    ei_x_encode_list_header(&arguments, 1);
    ei_x_encode_long(&arguments, 700);
    ei_x_encode_empty_list(&arguments);
    check(ei_rpc_to(&node, fd, "erlang", "abs", arguments.buff, arguments.index), "rpc");
    ei_x_free(&arguments);
}

static void rpc_receive(void)
{
    char atom[MAXATOMLEN_UTF8];
    long number = 0;
    int arity, index = receive();
    ei_decode_tuple_header(in.buff, &index, &arity);
    ei_decode_atom(in.buff, &index, atom);
    if (ei_decode_long(in.buff, &index, &number) < 0 || number != 700)
        fail("the answer of an rpc");
}

static void work(const char *what, long count)
{
    long n;
    if (!strcmp(what, "roundtrips")) {
        for (n = 0; n < count; n++) {
            request("ping", n);
            receive();
        }
    } else if (!strcmp(what, "sends")) {
        request("count", count);
        for (n = 0; n < count; n++) {
            encode_small();
            send_to("bench");
        }
        receive_atom();
    } else if (!strcmp(what, "receives")) {
        request("flood", count);
        for (n = 0; n < count; n++)
            decode_small(receive());
    } else if (!strcmp(what, "binaries_out")) {
        char *binary = calloc(1, MIB);
        request("count_binaries", count);
        for (n = 0; n < count; n++) {
            start_message();
            ei_x_encode_tuple_header(&out, 2);
            ei_x_encode_atom(&out, "b");
            ei_x_encode_binary(&out, binary, MIB);
            send_to("bench");
        }
        receive_atom();
    } else if (!strcmp(what, "binaries_in")) {
        char atom[MAXATOMLEN_UTF8];
        int arity, type, size;
        request("flood_binaries", count);
        for (n = 0; n < count; n++) {
            /* Where it is in the buffer: as little work as libei allows. */
            int index = receive();
            ei_decode_tuple_header(in.buff, &index, &arity);
            ei_decode_atom(in.buff, &index, atom);
            ei_get_type(in.buff, &index, &type, &size);
            if (type != ERL_BINARY_EXT || size != MIB)
                fail("a binary");
        }
    } else if (!strcmp(what, "rpc_one")) {
        for (n = 0; n < count; n++) {
            rpc_send();
            rpc_receive();
        }
    } else if (!strcmp(what, "rpc_64")) {
        for (n = 0; n < count; n += 64) {
            int i;
            for (i = 0; i < 64; i++)
                rpc_send();
            for (i = 0; i < 64; i++)
                rpc_receive();
        }
    } else {
        fail("finding the work");
    }
}

int main(int argc, char **argv)
{
    struct in_addr address;
    char alive[64] = "";
    double started, used;
    long count;
    if (argc != 6) {
        fprintf(stderr, "usage: libei OWN PEER COOKIE WORK COUNT\n");
        return 2;
    }
    count = atol(argv[5]);
    sscanf(argv[1], "%63[^@]", alive);
    address.s_addr = htonl(INADDR_LOOPBACK);
    check(ei_init(), "ei_init");
    check(ei_connect_xinit(&node, "127.0.0.1", alive, argv[1], &address, argv[3], 1), "ei_connect_xinit");
    fd = ei_connect(&node, argv[2]);
    check(fd, "ei_connect");
    ei_x_new(&in);
    ei_x_new(&out);
    request("ping", 0);
    receive();
    started = now();
    used = cpu();
    work(argv[4], count);
    printf("%.6f %.6f\n", now() - started, cpu() - used);
    return 0;
}
