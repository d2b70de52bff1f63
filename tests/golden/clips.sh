#!/bin/sh
# Makes the clips of tests/data/media/video: clips.sh MEDIA OUT
# MEDIA has video/bigbuckbunny.mp4 (CC-BY 3.0, (c) Blender Foundation, www.bigbuckbunny.org). Needs the program ffmpeg with
# libx264, libx265, libvpx and libaom; another version of these writes other bytes, so that the goldens of
# video.json must be made again as well.
set -eu
if [ $# -ne 2 ]; then
  sed -n '2,5p' "$0" >&2
  exit 2
fi
bunny=$1/video/bigbuckbunny.mp4 out=$2
mkdir -p "$out"

# make NAME INPUT-ARGUMENTS... -- OUTPUT-ARGUMENTS...
make() {
  name=$1
  shift
  ffmpeg -nostdin -hide_banner -loglevel error -y -bitexact "$@" "$out/$name"
}
# bunny NAME FILTERS OUTPUT-ARGUMENTS...
bunny() {
  name=$1 filters=$2
  shift 2
  make "$name" -i "$bunny" -an -vf "$filters" "$@"
}

bunny h264.mp4 scale=176:100,fps=15 -c:v libx264 -crf 30 -pix_fmt yuv420p -t 4
for turn in 90 180 270; do
  make "turned_$turn.mp4" -i "$out/h264.mp4" -t 2 -c copy -metadata:s:v "rotate=$turn"
done
make cut.mp4 -ss 1.3 -i "$out/h264.mp4" -c copy
make 720p.mp4 -i "$bunny" -an -t 0.15 -c copy
bunny five_seconds.mp4 scale=256:144 -c:v libx264 -crf 33
bunny uneven_times.mp4 "scale=192:108,setpts='if(gt(N,40),PTS+0.8/TB,PTS)+0.012*mod(N,3)/TB'" -vsync vfr \
  -c:v libx264 -crf 32 -t 4
bunny open_gop.mp4 scale=96:98 -c:v libx264 -crf 34 -bf 3 -x264-params open-gop=1:keyint=10 -t 3
bunny fragments.mp4 scale=96:54 -c:v libx264 -crf 34 -g 10 -movflags frag_keyframe+empty_moov -t 2
bunny bt709.mp4 scale=192:108:out_color_matrix=bt709 -colorspace bt709 -color_primaries bt709 -color_trc bt709 \
  -c:v libx264 -crf 32 -t 2
bunny full_range.mkv scale=160:90:out_range=full,format=yuvj420p -c:v libx264 -crf 32 -t 2
bunny yuv444.mp4 scale=150:84,format=yuv444p -c:v libx264 -crf 32 -t 1
bunny hevc_10_bit.mp4 scale=160:90,format=yuv420p10le -c:v libx265 -x265-params log-level=none -crf 34 -tag:v hvc1 -t 2
bunny vp9_odd.webm scale=175:99 -c:v libvpx-vp9 -b:v 60k -t 2
bunny vp8.webm scale=160:90 -c:v libvpx -b:v 60k -t 1
bunny av1.mp4 scale=192:108 -c:v libaom-av1 -crf 50 -cpu-used 8 -t 1
bunny mpeg4.mov scale=160:90 -c:v mpeg4 -q:v 12 -t 2
bunny mjpeg.mov scale=150:84,format=yuvj422p -c:v mjpeg -q:v 20 -t 0.5
bunny bunny.gif scale=96:54,fps=4 -t 3 -loop 0
make synthetic_12s.mp4 -f lavfi -i testsrc=size=98x62:rate=10 -t 12 -c:v libx264 -crf 36 -pix_fmt yuv420p
make scenes_80s.mp4 -f lavfi -i "color=c=red:size=64x64:rate=2:duration=40[a];\
color=c=blue:size=64x64:rate=2:duration=40[b];[a][b]concat" -c:v libx264 -crf 36 -pix_fmt yuv420p
