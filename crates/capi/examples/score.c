/* Scores one row: each argument behind the model is COLUMN=VALUE.
 *
 *   cc score.c -I../include -L../../../target/release -lstemson -o score
 *   ./score churn.zip age=41 city=Oslo
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stemson.h"

static int fail(const char *what, stemson_error *error) {
    fprintf(stderr, "%s: %s: %s\n", what, stemson_error_kind(error), stemson_error_message(error));
    stemson_error_free(error);
    return 1;
}

int main(int argc, char **argv) {
    stemson_error *error = NULL;
    if (argc < 2) {
        fprintf(stderr, "usage: score MODEL.zip COLUMN=VALUE ...\n");
        return 2;
    }
    if (stemson_abi() != STEMSON_ABI) {
        fprintf(stderr, "the library is of another version: %s\n", stemson_version());
        return 2;
    }
    stemson_model *model = stemson_load_file(argv[1], &error);
    if (!model) return fail(argv[1], error);
    printf("%s %s\n", stemson_model_algorithm(model), stemson_model_category(model));

    /* One cell for each column, in the model's order. */
    size_t columns = stemson_columns(model);
    stemson_cell *cells = calloc(columns, sizeof *cells);
    for (size_t i = 0; i < columns; i++) {
        const char *name = stemson_column_name(model, i);
        size_t length = strlen(name);
        cells[i].kind = '-';
        for (int a = 2; a < argc; a++) {
            if (strncmp(argv[a], name, length) == 0 && argv[a][length] == '=') {
                cells[i].kind = 't'; /* text: numbers are read from it as well */
                cells[i].text = argv[a] + length + 1;
                cells[i].length = strlen(cells[i].text);
            }
        }
    }

    stemson_options options = {0};
    size_t outputs = stemson_outputs(model, options, &error);
    double *numbers = calloc(outputs, sizeof *numbers);
    int status = 0;
    if (!stemson_score_row(model, options, cells, columns, numbers, outputs, &error)) {
        status = fail("score", error);
    } else {
        for (size_t i = 0; i < outputs; i++) {
            char name[256];
            stemson_output_name(model, options, i, name, sizeof name);
            printf("%s %.17g\n", name, numbers[i]);
        }
        if (stemson_labels(model) > 0) printf("%s\n", stemson_label(model, (size_t)numbers[0]));
    }
    free(cells);
    free(numbers);
    stemson_model_free(model);
    return status;
}
