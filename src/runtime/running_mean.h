// RunningMean: what steps take lately.
#ifndef EYESHOT_RUNTIME_RUNNING_MEAN_H_
#define EYESHOT_RUNTIME_RUNNING_MEAN_H_

namespace eyeshot {

class RunningMean {
 public:
  // `first` until something was added.
  explicit RunningMean(double first) : value_(first) {}
  double value() const { return value_; }
  void Add(double value) {
    constexpr double kNewest = 0.2;  // the newest value's share
    value_ = seen_ ? value_ + kNewest * (value - value_) : value;
    seen_ = true;
  }

 private:
  double value_;
  bool seen_ = false;
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_RUNNING_MEAN_H_
