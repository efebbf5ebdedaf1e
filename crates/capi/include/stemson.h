/* Generated from sources with the digest 2602ca4bf4e3b9f990c8d1e1620cebadb6ba69e4e8d944c305adaf1cf1f819e6. */
/* The C interface of Stemson: H2O MOJO models without Java. Apache-2.0. */

#ifndef STEMSON_H
#define STEMSON_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Arrow's C stream interface; see https://arrow.apache.org/docs/format/CStreamInterface.html */
struct ArrowArrayStream;


// Raised when a function changes what it takes or gives. A program compares it with
// `STEMSON_ABI` of the header it was compiled with.
#define STEMSON_ABI 1

// Why a function failed.
typedef struct stemson_error stemson_error;

// A model.
typedef struct stemson_model stemson_model;

// What is asked of every row. All zero: the prediction alone.
typedef struct stemson_options {
  // Refuse unknown levels and text that is no number, instead of taking them for missing.
  bool strict;
  // Contributions of the columns, the bias last.
  bool contributions;
  // The number of the leaf in each tree.
  bool leaf_ids;
  // The answer after each tree.
  bool staged;
  // Calibrated probabilities.
  bool calibrated;
  // K-means: the distance to each cluster.
  bool distances;
  // The number of the (first) row, by which a GLRM draws.
  uint64_t row;
} stemson_options;

// One value of a row.
typedef struct stemson_cell {
  // `-` nothing, `n` a number, `t` text, `b` a boolean (`number` is 0 or 1), `l` a level by its
  // place (`number`).
  char kind;
  // NaN is missing.
  double number;
  // UTF-8 without an end.
  const char *text;
  // Its bytes.
  size_t length;
} stemson_cell;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// `STEMSON_ABI` of the library.
uint32_t stemson_abi(void);

// The version of the library: `1.2.3`.
const char *stemson_version(void);

// A word that programs may rely on: `not_mojo`, `bad_entry`, `limit`, ... for files;
// `unknown_level`, `invalid_number`, `model` for rows; `missing_columns`, `column_type`, ... for
// tables; `not_offered`, `argument`, `unreadable`, `internal`.
//
// # Safety
// `error` is one that a function of this library has set and that is not freed.
const char *stemson_error_kind(const struct stemson_error *error);

// The same for people: what was found, where, and what was expected.
//
// # Safety
// As for `stemson_error_kind`.
const char *stemson_error_message(const struct stemson_error *error);

// Frees an error. Null is nothing.
//
// # Safety
// As for `stemson_error_kind`, or null. Its texts are gone with it.
void stemson_error_free(struct stemson_error *error);

// Loads a MOJO from the bytes of its zip file. They are not needed any more afterwards.
//
// Null on failure. `stemson_model_free` frees it.
//
// # Safety
// `bytes` are `length` bytes that can be read; `error` is null or may be written.
struct stemson_model *stemson_load(const uint8_t *bytes,
                                   size_t length,
                                   struct stemson_error **error);

// Loads a MOJO from a file. `path`: UTF-8, ends with a zero byte.
//
// Null on failure. `stemson_model_free` frees it.
//
// # Safety
// `path` ends with a zero byte; `error` is null or may be written.
struct stemson_model *stemson_load_file(const char *path, struct stemson_error **error);

// Frees a model. Null is nothing.
//
// # Safety
// It was loaded, is not freed, and no other call uses it. Its texts are gone with it.
void stemson_model_free(struct stemson_model *model);

// SHA-256 of the artifact: 64 hexadecimal digits.
//
// # Safety
// `model` is one that was loaded and is not freed: so for all functions that take one.
const char *stemson_model_digest(const struct stemson_model *model);

// H2O's name of the algorithm: `gbm`, `glm`, ...
//
// # Safety
// As for `stemson_model_digest`.
const char *stemson_model_algorithm(const struct stemson_model *model);

// H2O's category: `Binomial`, `Regression`, ...
//
// # Safety
// As for `stemson_model_digest`.
const char *stemson_model_category(const struct stemson_model *model);

// Columns that the model takes.
//
// # Safety
// As for `stemson_model_digest`.
size_t stemson_columns(const struct stemson_model *model);

// The name of a column, from 0. Null: there is no such column.
//
// # Safety
// As for `stemson_model_digest`.
const char *stemson_column_name(const struct stemson_model *model, size_t column);

// What a column holds: `n` numbers, `c` categories, 0 where there is no such column.
//
// # Safety
// As for `stemson_model_digest`.
char stemson_column_kind(const struct stemson_model *model, size_t column);

// Levels that the model knows of a column; 0 for numbers.
//
// # Safety
// As for `stemson_model_digest`.
size_t stemson_column_levels(const struct stemson_model *model, size_t column);

// A level of a column, from 0. Null: there is none.
//
// # Safety
// As for `stemson_model_digest`.
const char *stemson_column_level(const struct stemson_model *model, size_t column, size_t level);

// Classes; 0 where the model has none.
//
// # Safety
// As for `stemson_model_digest`.
size_t stemson_labels(const struct stemson_model *model);

// The name of a class, from 0. Null: there is none.
//
// # Safety
// As for `stemson_model_digest`.
const char *stemson_label(const struct stemson_model *model, size_t label);

// Numbers that `stemson_score_row` gives under these options; 0 on failure.
//
// # Safety
// As for `stemson_model_digest`; `error` is null or may be written.
size_t stemson_outputs(const struct stemson_model *model,
                       struct stemson_options options,
                       struct stemson_error **error);

// Writes the name of such a number, at most `size` bytes with the zero at its end, and gives the
// bytes that the whole name needs. `predict` is the place of the label where there are classes.
// 0: there is no such number, or the model does not have what is asked for.
//
// # Safety
// As for `stemson_model_digest`; `name` may be written for `size` bytes.
size_t stemson_output_name(const struct stemson_model *model,
                           struct stemson_options options,
                           size_t output,
                           char *name,
                           size_t size);

// Scores a row: one cell for each column of the model, in its order. True: `numbers` holds the
// answer, in the order of `stemson_output_name`.
//
// # Safety
// As for `stemson_model_digest`; `cells` are so many cells, whose text can be read; `numbers` may
// be written for so many; either may be null where there are none; `error` is null or may be
// written.
bool stemson_score_row(const struct stemson_model *model,
                       struct stemson_options options,
                       const struct stemson_cell *cells,
                       size_t n_cells,
                       double *numbers,
                       size_t n_numbers,
                       struct stemson_error **error);

// Scores a table: one row of answers for each of its rows, in order. Columns go by name. `answers`
// is a new stream with the columns of `stemson score --format arrow`; a row that is refused has
// nothing in them and the reason in `error`.
//
// `rows` is used up, whatever comes of it. `threads`: at most so many, at least 1.
//
// # Safety
// As for `stemson_model_digest`; `rows` is a stream that is not released; `answers` may be
// written, and what it held is not released; `error` is null or may be written.
bool stemson_score_arrow(const struct stemson_model *model,
                         struct stemson_options options,
                         struct ArrowArrayStream *rows,
                         size_t threads,
                         struct ArrowArrayStream *answers,
                         struct stemson_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* STEMSON_H */
