"""旧字体 and the 新字体 that took their place: 國 -> 国. For keys under which spellings of two ages are equal.

Only pairs in which one old form has one new form and no other meaning are listed: 辨, 瓣 and 辯 all became 弁 and are
three words; they stay apart. Source: 常用漢字表 (2010), the forms it gives in parentheses.
"""

_PAIRS = (
    "亞亜惡悪壓圧圍囲醫医爲為壹壱稻稲飮飲隱隠營営榮栄衞衛驛駅謁謁圓円緣縁艷艶鹽塩奧奥應応橫横歐欧毆殴黃黄溫温穩穏"
    "假仮價価畫画會会囘回壞壊懷懐繪絵槪概擴拡殼殻覺覚學学嶽岳樂楽勸勧卷巻寬寛歡歓罐缶觀観閒間關関陷陥館館巖巌顏顔"
    "歸帰氣気龜亀僞偽戲戯犧犠舊旧據拠擧挙虛虚峽峡挾挟敎教强強狹狭鄕郷堯尭曉暁區区驅駆勳勲薰薫羣群徑径惠恵揭掲攜携"
    "溪渓經経繼継莖茎螢蛍輕軽鷄鶏藝芸擊撃缺欠儉倹劍剣圈圏檢検權権獻献硏研縣県險険顯顕驗験嚴厳效効廣広恆恒鑛鉱"
    "號号國国黑黒濟済碎砕齋斎劑剤櫻桜册冊雜雑產産參参慘惨棧桟蠶蚕贊賛殘残絲糸視視齒歯兒児辭辞濕湿實実舍舎寫写"
    "釋釈壽寿收収從従澁渋獸獣縱縦肅粛處処緖緒敍叙奬奨將将燒焼稱称證証乘乗剩剰壤壌孃嬢條条淨浄狀状疊畳讓譲釀醸囑嘱"
    "觸触寢寝愼慎眞真盡尽圖図粹粋醉酔隨随髓髄數数樞枢聲声靜静齊斉攝摂竊窃專専戰戦淺浅潛潜纖繊踐践錢銭禪禅雙双壯壮"
    "搜捜插挿爭争總総聰聡莊荘裝装騷騒增増臟臓藏蔵屬属續続墮堕體体對対帶帯滯滞臺台瀧滝擇択澤沢單単擔担膽胆團団彈弾"
    "斷断癡痴遲遅晝昼蟲虫鑄鋳廳庁聽聴鎭鎮遞逓鐵鉄轉転點点傳伝黨党盜盗燈灯當当鬪闘德徳獨独讀読屆届繩縄貳弐惱悩腦脳"
    "霸覇廢廃拜拝賣売麥麦發発髮髪拔抜蠻蛮祕秘濱浜甁瓶拂払佛仏變変邊辺步歩寶宝豐豊沒没飜翻槇槙萬万滿満默黙彌弥藥薬"
    "譯訳與与譽誉搖揺樣様謠謡來来賴頼亂乱覽覧龍竜兩両獵猟綠緑鄰隣壘塁淚涙勵励禮礼隸隷靈霊齡齢戀恋爐炉勞労樓楼郞郎"
    "祿禄錄録灣湾瑤瑶晉晋"
)
NEW_OF_OLD: dict[int, int] = {
    ord(old): ord(new) for old, new in zip(_PAIRS[::2], _PAIRS[1::2], strict=True) if old != new
}
"""Code point of the old form -> of the new one."""
