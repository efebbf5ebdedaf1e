/* One-row calls of C interfaces, looped here so that no Python call is counted. Functions come as pointers: nothing is
 * linked. `rows`: row-major, n x width. `out`: one answer per row. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>

/* LGBM_BoosterPredictForMatSingleRowFast */
typedef int (*lightgbm_call)(void *config, const void *row, int64_t *len, double *out);

int lightgbm_rows(lightgbm_call call, void *config, const double *rows, int n, int width, double *out) {
  int64_t len;
  for (int i = 0; i < n; i++) {
    int failed = call(config, rows + (int64_t)i * width, &len, out + i);
    if (failed) return failed;
  }
  return 0;
}

/* The function that lleaves compiles: rows from `start` to `end`. */
typedef void (*lleaves_call)(const double *rows, double *out, int start, int end);

int lleaves_rows(lleaves_call call, const double *rows, int n, int width, double *out) {
  for (int i = 0; i < n; i++) call(rows + (int64_t)i * width, out + i, 0, 1);
  return 0;
}

/* `predict` of a library made by tl2cgen; it overwrites the entries. */
union entry {
  int missing;
  float value;
  int code;
};
typedef void (*tl2cgen_call)(union entry *row, int margin, float *out);

int tl2cgen_rows(tl2cgen_call call, const float *rows, int n, int width, double *out) {
  union entry row[256];
  for (int i = 0; i < n; i++, rows += width) {
    for (int k = 0; k < width; k++) {
      if (isnan(rows[k])) row[k].missing = -1;
      else row[k].value = rows[k];
    }
    float sum = 0;
    call(row, 1, &sum);
    out[i] = sum;
  }
  return 0;
}

/* XGBoosterPredictFromDense */
typedef int (*xgboost_call)(void *booster, const char *values, const char *config, void *matrix, const uint64_t **shape,
                            uint64_t *dim, const float **result);

int xgboost_rows(xgboost_call call, void *booster, const float *rows, int n, int width, double *out) {
  const char *config =
      "{\"type\":1,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"missing\":NaN,"
      "\"strict_shape\":false,\"cache_id\":0}";
  char values[160];
  const uint64_t *shape;
  uint64_t dim;
  const float *result;
  for (int i = 0; i < n; i++) {
    snprintf(values, sizeof values, "{\"data\":[%llu,true],\"shape\":[1,%d],\"typestr\":\"<f4\",\"version\":3}",
             (unsigned long long)(uintptr_t)(rows + (int64_t)i * width), width);
    int failed = call(booster, values, config, 0, &shape, &dim, &result);
    if (failed) return failed;
    out[i] = result[0];
  }
  return 0;
}
