// Reads the .npy goldens: float32, C order, format version 1.0.
#ifndef EYESHOT_TESTS_PARITY_NPY_H_
#define EYESHOT_TESTS_PARITY_NPY_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace eyeshot::testing {

struct Array {
  std::vector<int64_t> shape;
  std::vector<float> values;
  int64_t cols() const { return shape.back(); }
  int64_t rows() const { return static_cast<int64_t>(values.size()) / cols(); }
  const float* Row(int64_t r) const { return values.data() + r * cols(); }
};

inline Array LoadNpy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  Array array;
  if (bytes.size() < 10 || bytes.compare(0, 6, "\x93NUMPY") != 0) {
    ADD_FAILURE() << path << " is no .npy file";
    return array;
  }
  const size_t header = static_cast<uint8_t>(bytes[8]) + 256u * static_cast<uint8_t>(bytes[9]);
  const std::string text = bytes.substr(10, header);
  EXPECT_NE(text.find("'<f4'"), std::string::npos) << path;
  EXPECT_NE(text.find("'fortran_order': False"), std::string::npos) << path;
  const size_t open = text.find('(');
  std::stringstream dims(text.substr(open + 1, text.find(')') - open - 1));
  for (std::string dim; std::getline(dims, dim, ',');) {
    if (dim.find_first_not_of(' ') != std::string::npos) array.shape.push_back(std::stoll(dim));
  }
  array.values.resize((bytes.size() - 10 - header) / sizeof(float));
  std::memcpy(array.values.data(), bytes.data() + 10 + header, array.values.size() * sizeof(float));
  return array;
}

// How two matrices of one shape agree.
struct Agreement {
  double relative_error = 0;  // |got - want| / |want| over all elements
  double cosine = 0;          // over all elements
  double worst_row_cosine = 1;
};

inline Agreement Compare(const std::vector<const float*>& got_rows, const Array& want) {
  Agreement agreement;
  double error = 0, square = 0, got_square = 0, dot = 0;
  for (int64_t r = 0; r < want.rows(); ++r) {
    double row_dot = 0, row_got = 0, row_want = 0;
    for (int64_t c = 0; c < want.cols(); ++c) {
      const double g = got_rows[static_cast<size_t>(r)][c];
      const double w = want.Row(r)[c];
      error += (g - w) * (g - w);
      row_dot += g * w;
      row_got += g * g;
      row_want += w * w;
    }
    dot += row_dot;
    got_square += row_got;
    square += row_want;
    agreement.worst_row_cosine = std::min(agreement.worst_row_cosine, row_dot / std::sqrt(row_got * row_want));
  }
  agreement.relative_error = std::sqrt(error / square);
  agreement.cosine = dot / std::sqrt(got_square * square);
  return agreement;
}

}  // namespace eyeshot::testing

#endif  // EYESHOT_TESTS_PARITY_NPY_H_
