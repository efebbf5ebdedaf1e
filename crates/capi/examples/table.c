/* Scores a table that the program builds itself, by Arrow's C stream interface: one column of
 * doubles, N rows, on two threads. Prints each number of the second column of the answers.
 *
 *   ./table churn.zip COLUMN N
 *
 * The structures are those of https://arrow.apache.org/docs/format/CDataInterface.html. A program
 * that has an Arrow library exports its tables with that instead.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stemson.h"

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

/* What the stream gives: its memory lives longer than the stream, so nothing is freed. */
static const char *column;
static double *values;
static int64_t rows;
static int given;
static struct ArrowSchema field, *fields[1] = {&field};
static struct ArrowArray data, *datas[1] = {&data};
static const void *no_buffers[1] = {NULL}, *buffers[2];

static void release_schema(struct ArrowSchema *schema) { schema->release = NULL; }
static void release_array(struct ArrowArray *array) { array->release = NULL; }
static void release_stream(struct ArrowArrayStream *stream) { stream->release = NULL; }
static const char *last_error(struct ArrowArrayStream *stream) { (void)stream; return NULL; }

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    (void)stream;
    field = (struct ArrowSchema){.format = "g", .name = column, .flags = 2, .release = release_schema};
    *out = (struct ArrowSchema){
        .format = "+s", .name = "", .n_children = 1, .children = fields, .release = release_schema};
    return 0;
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    (void)stream;
    memset(out, 0, sizeof *out); /* released: the end */
    if (given++) return 0;
    buffers[1] = values;
    data = (struct ArrowArray){
        .length = rows, .n_buffers = 2, .buffers = buffers, .release = release_array};
    *out = (struct ArrowArray){.length = rows, .n_buffers = 1, .buffers = no_buffers,
                               .n_children = 1, .children = datas, .release = release_array};
    return 0;
}

int main(int argc, char **argv) {
    stemson_error *error = NULL;
    if (argc != 4) return 2;
    stemson_model *model = stemson_load_file(argv[1], &error);
    if (!model) {
        fprintf(stderr, "%s\n", stemson_error_message(error));
        return 1;
    }
    column = argv[2];
    rows = atoll(argv[3]);
    values = malloc((size_t)rows * sizeof *values);
    for (int64_t i = 0; i < rows; i++) values[i] = (double)i / 10 - 2;

    struct ArrowArrayStream in = {get_schema, get_next, last_error, release_stream, NULL}, out;
    stemson_options options = {0};
    if (!stemson_score_arrow(model, options, &in, 2, &out, &error)) {
        fprintf(stderr, "%s: %s\n", stemson_error_kind(error), stemson_error_message(error));
        stemson_error_free(error);
        return 1;
    }
    struct ArrowArray batch;
    while (out.get_next(&out, &batch) == 0 && batch.release) {
        const struct ArrowArray *child = batch.children[1];
        const double *numbers = child->buffers[1];
        for (int64_t i = 0; i < batch.length; i++) printf("%.17g\n", numbers[child->offset + i]);
        batch.release(&batch);
    }
    out.release(&out);
    stemson_model_free(model);
    free(values);
    return 0;
}
