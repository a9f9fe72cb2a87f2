"""Which kinds of file are read as a video: those whose pictures lie in the file itself."""

# libav knows some 370 by the first bytes of a file, whatever its name. Left out are those that read other
# files or addresses (concat, hls, dash, sdp, image2, mlv, vobsub, …), scripts (lavfi, avisynth), devices,
# text that is drawn (tty), and what no camera or encoder of video writes. Names that a build lacks do no
# harm.
DEMUXERS = """
    3g2 3gp apv asf asf_o av1 avi avs2 avs3 cavsvideo cine dhav dirac dnxhd dv evc flic flv gxf h261 h263 h264
    hevc ivf ivr kux live_flv lmlm4 lxf m4v matroska mjpeg mjpeg_2000 mov mp4 mpeg mpegts mpegtsraw mpegvideo
    mpjpeg mxf mxg nsv nut nuv obu ogg pva r3d rm ser swf ty vc1 vc1test vivo vvc webm wtv yuv4mpegpipe
    apng bmp_pipe gif jpeg_pipe jpegxl_anim png_pipe tiff_pipe webp_pipe
    aac ac3 aiff flac mp3 wav
""".split()

# Transport and program streams, which may begin anywhere.
BEGIN_ANYWHERE = ("mpegts", "mpeg")

# For `container_options` of `av.open`.
OPTIONS = {"format_whitelist": ",".join(DEMUXERS)}
