/* What a program may do with the library, right and wrong: each line that does not hold is printed.
 *
 *   ./face MODEL.zip CALIBRATED.zip WORDS.zip
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stemson.h"

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, void *);
    int (*get_next)(struct ArrowArrayStream *, void *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

enum { COLUMNS = 40, ROOM = 1024 };

static int failures = 0;

#define CHECK(holds)                                            \
    do {                                                        \
        if (!(holds)) {                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #holds); \
            failures++;                                         \
        }                                                       \
    } while (0)

static stemson_cell number(char kind, double value) {
    return (stemson_cell){.kind = kind, .number = value};
}

static stemson_cell text(const char *value) {
    return (stemson_cell){.kind = 't', .text = value, .length = strlen(value)};
}

/* The second class's probability of a row with one cell; -1 where it is refused. */
static double of_cell(const stemson_model *model, size_t column, stemson_cell cell) {
    stemson_cell cells[COLUMNS];
    double numbers[3];
    for (size_t i = 0; i < COLUMNS; i++) cells[i] = number('-', 0);
    cells[column] = cell;
    stemson_options options = {.strict = true};
    return stemson_score_row(model, options, cells, COLUMNS, numbers, 3, NULL) ? numbers[2] : -1;
}

/* Whether a call failed with an error of this kind, which is freed. */
static int is(stemson_error *error, const char *kind) {
    int same = error && strcmp(stemson_error_kind(error), kind) == 0;
    if (error && !same) fprintf(stderr, "%s\n", stemson_error_message(error));
    stemson_error_free(error);
    return same;
}

static void kinds(const stemson_model *model) {
    const char *level = stemson_column_level(model, 32, 3);
    CHECK(stemson_column_kind(model, 0) == 'n' && stemson_column_kind(model, 32) == 'c');
    CHECK(stemson_column_kind(model, COLUMNS) == 0 && !stemson_column_name(model, COLUMNS));
    double absent = of_cell(model, 0, number('-', 0)), low = of_cell(model, 0, number('n', -3));
    CHECK(absent > 0 && low > 0 && low == of_cell(model, 0, text("-3e0")));
    CHECK(low != of_cell(model, 0, number('n', 3)));
    CHECK(of_cell(model, 0, number('n', NAN)) == absent);
    CHECK(of_cell(model, 32, number('l', 3)) == of_cell(model, 32, text(level)));
    CHECK(of_cell(model, 32, number('l', 3)) != of_cell(model, 32, number('l', 0)));
    /* A boolean is no number, and no level of this model. */
    CHECK(of_cell(model, 0, number('b', 1)) == -1 && of_cell(model, 32, number('b', 0)) == -1);
    CHECK(of_cell(model, 32, number('l', -1)) == -1 && of_cell(model, 32, number('l', 1e9)) == -1);
    CHECK(of_cell(model, 32, number('?', 0)) == -1);
    CHECK(of_cell(model, 0, (stemson_cell){.kind = 't', .text = NULL, .length = 1}) == -1);
    CHECK(of_cell(model, 0, text("\xff")) == -1);
}

/* Scores a row of nothing; the numbers that come, 0 on failure. */
static size_t answer(const stemson_model *model, stemson_options options, double *numbers) {
    stemson_cell cells[COLUMNS];
    size_t columns = stemson_columns(model), outputs = stemson_outputs(model, options, NULL);
    if (columns > COLUMNS || outputs > ROOM) return 0;
    for (size_t i = 0; i < columns; i++) cells[i] = number('-', 0);
    stemson_error *error = NULL;
    bool done = stemson_score_row(model, options, cells, columns, numbers, outputs, &error);
    stemson_error_free(error);
    return done ? outputs : 0;
}

static void explanations(const stemson_model *model, const stemson_model *calibrated) {
    double plain[ROOM], more[ROOM];
    char name[32];
    CHECK(answer(model, (stemson_options){0}, plain) == 3);
    stemson_options contributions = {.contributions = true};
    size_t n = answer(model, contributions, more);
    CHECK(n == 3 + COLUMNS + 1 && memcmp(plain, more, sizeof plain[0] * 3) == 0);
    CHECK(stemson_output_name(model, contributions, n - 1, name, sizeof name) == 9);
    CHECK(strcmp(name, "BiasTerm") == 0);
    CHECK(stemson_output_name(model, contributions, n - 1, name, 5) == 9);
    CHECK(strcmp(name, "Bias") == 0);
    CHECK(stemson_output_name(model, contributions, n, name, sizeof name) == 0);
    double margin = 0;
    for (size_t i = 3; i < n; i++) margin += more[i];
    CHECK(fabs(1 / (1 + exp(-margin)) - plain[2]) < 1e-5);
    n = answer(model, (stemson_options){.staged = true, .leaf_ids = true}, more);
    CHECK(n == 3 + 100 + 100 && memcmp(plain, more, sizeof plain[0] * 3) == 0);
    stemson_error *error = NULL;
    stemson_options asked = {.calibrated = true};
    CHECK(stemson_outputs(model, asked, &error) == 0 && is(error, "not_offered"));
    CHECK(stemson_output_name(model, asked, 0, name, sizeof name) == 0);
    CHECK(answer(calibrated, asked, more) == 5);
    CHECK(stemson_output_name(calibrated, asked, 3, name, sizeof name) > 4);
    CHECK(strncmp(name, "cal_", 4) == 0);
    CHECK(more[3] + more[4] > 0.999 && more[3] + more[4] < 1.001 && more[3] != more[1]);
}

/* Whether an error says this; it is freed. */
static int says(stemson_error *error, const char *text) {
    int found = error && strstr(stemson_error_message(error), text) != NULL;
    if (error && !found) fprintf(stderr, "%s\n", stemson_error_message(error));
    stemson_error_free(error);
    return found;
}

/* Null is none of them, and refused as such. `words` has no columns but those that a row has. */
static void nothing(const stemson_model *model, const stemson_model *words) {
    stemson_cell cells[COLUMNS];
    double numbers[3];
    for (size_t i = 0; i < COLUMNS; i++) cells[i] = number('-', 0);
    stemson_options options = {0};
    stemson_error *error = NULL;
    CHECK(stemson_columns(words) == 0);
    CHECK(!stemson_score_row(words, options, NULL, 0, numbers, 3, &error));
    CHECK(says(error, "score a table"));
    error = NULL;
    CHECK(!stemson_score_row(model, options, NULL, 0, numbers, 3, &error));
    CHECK(says(error, "0 cells, expected 40"));
    error = NULL;
    CHECK(!stemson_score_row(model, options, cells, COLUMNS, NULL, 0, &error));
    CHECK(says(error, "room for 0 numbers, expected 3"));
    error = NULL;
    CHECK(!stemson_score_row(model, options, NULL, COLUMNS, numbers, 3, &error));
    CHECK(says(error, "cells is null"));
    error = NULL;
    CHECK(!stemson_score_row(model, options, cells, COLUMNS, NULL, 3, &error));
    CHECK(says(error, "numbers is null"));
}

static void wrong(const stemson_model *model) {
    stemson_cell cells[COLUMNS + 1] = {{.kind = '-'}};
    double numbers[4];
    stemson_options options = {0};
    for (size_t i = 0; i <= COLUMNS; i++) cells[i].kind = '-';
    for (size_t columns = COLUMNS - 1; columns <= COLUMNS + 1; columns++) {
        for (size_t room = 2; room <= 4; room++) {
            stemson_error *error = NULL;
            bool right = columns == COLUMNS && room == 3;
            bool done = stemson_score_row(model, options, cells, columns, numbers, room, &error);
            CHECK(done == right && (right ? !error : is(error, "argument")));
            CHECK(stemson_score_row(model, options, cells, columns, numbers, room, NULL) == right);
        }
    }
    stemson_error *error = NULL;
    CHECK(!stemson_load(NULL, 0, &error) && is(error, "argument"));
    error = NULL;
    CHECK(!stemson_load((const uint8_t *)"PK", 2, &error) && error);
    stemson_error_free(error);
    CHECK(!stemson_load_file("no/such.zip", NULL));
    stemson_error_free(NULL);
    stemson_model_free(NULL);
}

static int released = 0;

static void release(struct ArrowArrayStream *stream) {
    released++;
    stream->release = NULL;
}

/* A stream is used up whatever comes of it. */
static void streams(const stemson_model *model) {
    struct ArrowArrayStream rows = {.release = release};
    stemson_options options = {0};
    stemson_error *error = NULL;
    CHECK(!stemson_score_arrow(model, options, &rows, 1, NULL, &error) && is(error, "argument"));
    CHECK(released == 1 && rows.release == NULL);
    error = NULL;
    CHECK(!stemson_score_arrow(model, options, NULL, 1, &rows, &error) && is(error, "argument"));
}

/* All threads share a model; what each asks for differs. */
static void *many(void *model) {
    static _Atomic int turn = 0;
    stemson_options options = {.contributions = turn++ % 2 == 0};
    double first[ROOM], next[ROOM];
    size_t n = answer(model, options, first);
    for (int i = 0; i < 500; i++) {
        size_t same = answer(model, options, next);
        if (n == 0 || same != n || memcmp(first, next, sizeof first[0] * n) != 0) return model;
    }
    return NULL;
}

static stemson_model *from_bytes(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    size_t length = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(length);
    size_t found = fread(bytes, 1, length, file);
    fclose(file);
    stemson_model *model = stemson_load(bytes, found, NULL);
    /* They are not needed any more. */
    memset(bytes, 0, length);
    free(bytes);
    return model;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    stemson_model *model = from_bytes(argv[1]), *file = stemson_load_file(argv[1], NULL);
    stemson_model *calibrated = stemson_load_file(argv[2], NULL);
    stemson_model *words = stemson_load_file(argv[3], NULL);
    if (!model || !file || !calibrated || !words || stemson_columns(model) != COLUMNS) return 2;
    CHECK(strcmp(stemson_model_digest(model), stemson_model_digest(file)) == 0);
    stemson_model_free(file);
    kinds(model);
    explanations(model, calibrated);
    wrong(model);
    nothing(model, words);
    streams(model);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, many, model);
    for (int i = 0; i < 4; i++) {
        void *odd;
        pthread_join(threads[i], &odd);
        CHECK(!odd);
    }
    stemson_model_free(model);
    stemson_model_free(calibrated);
    stemson_model_free(words);
    return failures ? 1 : 0;
}
